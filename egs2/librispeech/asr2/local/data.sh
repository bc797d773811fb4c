#!/usr/bin/env bash
# LibriSpeech as data/{train_960,dev,dev_clean,dev_other,test_clean,test_other}. LIBRISPEECH in db.sh names the corpus's
# folder; where it is empty, the corpus is downloaded. Options go to local/librispeech_data.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh

python3 local/librispeech_data.py --corpus "${LIBRISPEECH}" --train_set train_960 "$@"
