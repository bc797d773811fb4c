#!/usr/bin/env bash
# VCTK as data/{tr_no_dev,dev,eval1}. VCTK in db.sh names the corpus's folder or archive; where it is empty, the corpus is
# downloaded. Options go to local/vctk_data.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh

python3 local/vctk_data.py --corpus "${VCTK}" "$@"
