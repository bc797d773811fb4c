#!/usr/bin/env bash
# 960 h of LibriSpeech from WavLM-large units, with the settings behind ESPnet's published results. README.md says what
# to change for eight GPUs, for a language model, and for augmentation instead of three speeds.
set -euo pipefail

./asr2.sh \
    --lang en \
    --train_set train_960 \
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
    --lm_train_text "data/train_960/text data/local/other_text/text" \
    --lm_config conf/train_lm.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"
