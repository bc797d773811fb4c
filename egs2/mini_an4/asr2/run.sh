#!/usr/bin/env bash
# ESPnet's mini AN4 (eight utterances of real speech, .sph) from MFCC units: shows in minutes that every stage works.
set -euo pipefail

./asr2.sh \
    --lang en \
    --train_set train_nodev \
    --valid_set train_dev \
    --test_sets "train_dev test test_seg" \
    --fs 16k \
    --upstream mfcc \
    --nclusters 20 \
    --portion 1.0 \
    --src_token_type bpe \
    --src_nbpe 40 \
    --src_case rm \
    --tgt_token_type char \
    --use_lm false \
    --asr_config conf/train_asr.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"
