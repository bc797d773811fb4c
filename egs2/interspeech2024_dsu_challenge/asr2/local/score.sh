#!/usr/bin/env bash
# The challenge's measures: local/score.sh <asr_exp>
set -euo pipefail

. ./path.sh

python3 local/challenge_table.py "$@"
