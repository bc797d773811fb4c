#!/usr/bin/env bash
# The Free Spoken Digit Dataset (real speech, 8 kHz, CC BY-SA 4.0) as digit strings:
# data/{train,valid,test}. FSDD in db.sh names the corpus's folder or .tar.gz; where it
# is empty, the corpus is downloaded. Options go to local/make_strings.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh
. local/corpus.sh

url=https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz
corpus=$(find_corpus FSDD fsdd "${url}" "16 MB")
python3 local/make_strings.py --fsdd "${corpus}" "$@"
