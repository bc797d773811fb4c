#!/usr/bin/env bash
# Spoken digit strings by espeak-ng, from the Python package espeakng-loader alone:
# data/{train,valid,test}. Options go to local/make_digits.py (see --help).
set -euo pipefail

. ./path.sh

python3 local/make_digits.py "$@"
