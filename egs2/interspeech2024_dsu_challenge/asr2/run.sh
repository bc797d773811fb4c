#!/usr/bin/env bash
# Interspeech 2024 discrete speech unit challenge, ASR track: LibriSpeech (100 h) and ML-SUPERB (1 h) in one model.
set -euo pipefail

./asr2.sh \
    --lang multilingual \
    --train_set train \
    --valid_set dev \
    --test_sets "test_clean test_other dev_clean dev_other test_1h" \
    --fs 16k \
    --ref_channels 0 \
    --upstream torchaudio:WAVLM_LARGE@21 \
    --nclusters 2000 \
    --portion 0.3 \
    --src_token_type bpe \
    --src_nbpe 3000 \
    --src_case rm \
    --tgt_token_type bpe \
    --tgt_nbpe 6500 \
    --use_lm false \
    --asr_config conf/train_asr.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"
