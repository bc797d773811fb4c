#!/usr/bin/env bash
# LJSpeech (one reader, 24 h, 22.05 kHz) from units of HuBERT-base, layer 6, and back, as in ESPnet's unit TTS (500 units).
# README.md says what else it can do.
set -euo pipefail

./voc1.sh \
    --lang en \
    --train_set tr_no_dev \
    --valid_set dev \
    --test_sets eval1 \
    --fs 22050 \
    --upstream torchaudio:HUBERT_BASE@6 \
    --nclusters 500 \
    --portion 1.0 \
    --score_asr_tag asapp/e_branchformer_librispeech \
    --score_asr_args "--beam_size 10 --ctc_weight 0.3 --lm_weight 0.0" \
    --license cc0-1.0 \
    "$@"
