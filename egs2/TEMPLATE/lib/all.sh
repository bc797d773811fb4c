#!/usr/bin/env bash
# Everything a task script needs, from this folder.

lib=${BASH_SOURCE[0]%/*}
. "${lib}/stages.sh"
. "${lib}/options.sh"
. "${lib}/jobs.sh"
. "${lib}/data.sh"
. "${lib}/units.sh"
. "${lib}/lm.sh"
. "${lib}/train.sh"
. "${lib}/publish.sh"
