#!/usr/bin/env bash
# Synthetic digit strings (espeak-ng, no download; --local_data_opts "--lang both" adds Spanish) from MFCC units; `--input fbank` is the baseline.
set -euo pipefail

./asr2.sh \
    --lang en \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --fs 16k \
    --upstream mfcc \
    --upstream_conf "sample_rate=16000" \
    --nclusters 200 \
    --portion 1.0 \
    --src_token_type unit \
    --src_case rm \
    --tgt_token_type word \
    --use_lm false \
    --inference_config conf/decode_asr.yaml \
    --inference_asr_model valid.loss.ave.pth \
    "$@"
