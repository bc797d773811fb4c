#!/usr/bin/env bash
# The stages of a unit vocoder.

. "${BASH_SOURCE[0]%/*}/all.sh"
. "${lib}/speakers.sh"
. "${lib}/vocoder.sh"
. "${lib}/synthesis.sh"
. "${lib}/speech_scores.sh"
