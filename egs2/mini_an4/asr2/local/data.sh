#!/usr/bin/env bash
# ESPnet's mini AN4 (eight utterances, NIST sphere files): data/{train_nodev,train_dev,test,test_seg}.
# MINI_AN4 in db.sh names its folder or .tar.gz; where it is empty, the archive is downloaded.
set -euo pipefail

. ./path.sh
. ./db.sh
. local/corpus.sh

url=https://github.com/espnet/espnet/raw/master/egs2/mini_an4/asr1/downloads.tar.gz
corpus=$(find_corpus MINI_AN4 mini_an4 "${url}" "2 MB")
python3 local/prepare_an4.py --an4 "${corpus}" "$@"
