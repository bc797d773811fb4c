#!/usr/bin/env bash
# 100 h of LibriSpeech from WavLM-large units, with the settings behind ESPnet's published results; `--input fbank` is
# the baseline. README.md says what to change for eight GPUs, other encoders, and augmentation instead of three speeds.
set -euo pipefail

./asr2.sh \
    --lang en \
    --train_set train_clean_100 \
    --valid_set dev \
    --test_sets "test_clean test_other dev_clean dev_other" \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --upstream torchaudio:WAVLM_LARGE@21 \
    --nclusters 2000 \
    --portion 0.1 \
    --max_frames 2000000 \
    --max_memory 10GiB \
    --src_token_type bpe \
    --src_bpemode unigram \
    --src_nbpe 6000 \
    --src_case rm \
    --tgt_token_type bpe \
    --tgt_nbpe 5000 \
    --use_lm false \
    --inference_config conf/decode_asr.yaml \
    "$@"
