#!/usr/bin/env bash
# Error rates of each language and of language identification: local/score.sh [options] <asr_exp>
set -euo pipefail

. ./path.sh

python3 local/score_languages.py "$@"
