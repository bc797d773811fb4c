#!/usr/bin/env bash
# LJSpeech as data/{tr_no_dev,dev,eval1}. LJSPEECH in db.sh names the corpus's folder or archive; where it is empty, the corpus is
# downloaded. Options go to local/ljspeech_data.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh

python3 local/ljspeech_data.py --corpus "${LJSPEECH}" "$@"
