#!/usr/bin/env bash
# `make demo`: units, training, decoding and scores on spoken digits, then one recording transcribed from Python.
# The corpus is synthetic (egs2/digits); with FSDD set to the Free Spoken Digit Dataset it is real speech (egs2/fsdd).
set -euo pipefail

corpus=digits options=()
if [ -n "${FSDD:-}" ]; then
    corpus=fsdd options=(--asr_args "--max_epoch 2")  # half of the recipe's own
fi
cd "$(dirname "$0")/${corpus}/asr2"

./run.sh --asr_tag demo "${options[@]}" "$@"

# ESPnet's imports have much to say; it is shown where something went wrong.
python3 ../../demo.py exp/asr_demo dump/raw/test 2> exp/asr_demo/demo.log || { cat exp/asr_demo/demo.log >&2; exit 1; }

cat <<END

That was egs2/${corpus}/asr2/run.sh${options[*]:+ ${options[*]}}. What to try next, in egs2/${corpus}/asr2:
  ./run.sh --nclusters 100     other units: redoes what depends on them, and only that
  ./run.sh --input fbank       the baseline without units
  ./run.sh --help              all stages and options
The tokenizer from Python: docs/units.md. The stages and their files: egs2/TEMPLATE/asr2/README.md.
END
