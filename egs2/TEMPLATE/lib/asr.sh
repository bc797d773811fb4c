#!/usr/bin/env bash
# The stages of a recogniser.

. "${BASH_SOURCE[0]%/*}/all.sh"
. "${lib}/lm.sh"
. "${lib}/train.sh"
. "${lib}/publish.sh"
