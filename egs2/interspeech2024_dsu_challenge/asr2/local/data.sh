#!/usr/bin/env bash
# LibriSpeech (100 h) and ML-SUPERB (1 h) joined: data/{train,dev,dev_clean,dev_other,test_clean,test_other,test_1h}.
# LIBRISPEECH and MLSUPERB in db.sh name the corpora. Options go to local/librispeech_data.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh

python3 local/prepare_ml_superb.py --ml_superb "${MLSUPERB}" --duration 1h --data_dir data/ml_superb
python3 local/librispeech_data.py --corpus "${LIBRISPEECH}" --train_set train_clean_100 --data_dir data/librispeech "$@"
python3 local/join_sets.py
