#!/usr/bin/env bash
# LibriTTS as data/{train-clean-460,dev-clean,test-clean}. LIBRITTS in db.sh names the corpus's folder; where it is empty, the corpus is
# downloaded. Options go to local/libritts_data.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh

python3 local/libritts_data.py --corpus "${LIBRITTS}" "$@"
