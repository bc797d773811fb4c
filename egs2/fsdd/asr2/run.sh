#!/usr/bin/env bash
# Digit strings of the Free Spoken Digit Dataset (real speech, 8 kHz) from MFCC units; `--input fbank` is the baseline.
set -euo pipefail

./asr2.sh \
    --lang en \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --fs 8k \
    --upstream mfcc \
    --upstream_conf "sample_rate=8000" \
    --nclusters 500 \
    --portion 1.0 \
    --src_token_type unit \
    --src_case rm \
    --tgt_token_type word \
    --use_lm false \
    --inference_config conf/decode_asr.yaml \
    "$@"
