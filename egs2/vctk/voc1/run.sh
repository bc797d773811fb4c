#!/usr/bin/env bash
# VCTK (108 speakers of English, 24 kHz) from units of HuBERT-base, layer 6, and back; each utterance also as another speaker.
# README.md says what else it can do.
set -euo pipefail

./voc1.sh \
    --lang en \
    --train_set tr_no_dev \
    --valid_set dev \
    --test_sets eval1 \
    --fs 24k \
    --min_wav_duration 1.0 \
    --upstream torchaudio:HUBERT_BASE@6 \
    --nclusters 500 \
    --portion 0.5 \
    --use_sid true \
    --use_f0 true \
    --convert speaker \
    --speaker_model espnet:espnet/voxcelebs12_rawnet3 \
    --score_asr_tag asapp/e_branchformer_librispeech \
    --score_asr_args "--beam_size 10 --ctc_weight 0.3 --lm_weight 0.0" \
    "$@"
