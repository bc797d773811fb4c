#!/usr/bin/env bash
# LibriTTS (1,151 readers, 245 h, 24 kHz) from units of HuBERT-base, layer 6, and back. Readers of the tests are new, so voices
# are given by embeddings; another model than theirs tells voices apart in scoring. README.md says what else it can do.
set -euo pipefail

./voc1.sh \
    --lang en \
    --train_set train-clean-460 \
    --valid_set dev-clean \
    --test_sets test-clean \
    --fs 24k \
    --min_wav_duration 0.38 \
    --upstream torchaudio:HUBERT_BASE@6 \
    --nclusters 500 \
    --portion 0.1 \
    --use_spembs true \
    --use_f0 true \
    --spk_embed_model espnet:espnet/voxcelebs12_rawnet3 \
    --convert speaker \
    --speaker_model hf:microsoft/wavlm-base-plus-sv \
    --score_asr_tag asapp/e_branchformer_librispeech \
    --score_asr_args "--beam_size 10 --ctc_weight 0.3 --lm_weight 0.0" \
    "$@"
