#!/usr/bin/env bash
# ML-SUPERB as data/{train,dev,test}_{10min,1h}. MLSUPERB in db.sh names the unpacked corpus. Options go to
# local/prepare_ml_superb.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh

python3 local/prepare_ml_superb.py --ml_superb "${MLSUPERB}" "$@"
