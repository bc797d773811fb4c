#!/usr/bin/env bash
# What every task script needs, from this folder.

lib=${BASH_SOURCE[0]%/*}
. "${lib}/stages.sh"
. "${lib}/options.sh"
. "${lib}/jobs.sh"
. "${lib}/data.sh"
. "${lib}/units.sh"
. "${lib}/shared.sh"
