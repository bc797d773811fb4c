#!/usr/bin/env bash
# Digit strings of the Free Spoken Digit Dataset (real speech, 8 kHz) from MFCC units; `--input fbank` is the baseline.
set -euo pipefail

./asr2.sh \
    --lang en \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --fs 8k \
    --upstream mfcc \
    --upstream_conf "sample_rate=8000 frame_shift=20" \
    --nclusters 500 \
    --portion 1.0 \
    --max_frames 200000 \
    --src_token_type unit \
    --src_case rm \
    --tgt_token_type word \
    --use_lm false \
    --inference_config conf/decode_asr.yaml \
    --inference_asr_model valid.loss.ave.pth \
    "$@"
