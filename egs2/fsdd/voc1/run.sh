#!/usr/bin/env bash
# Digit strings of the Free Spoken Digit Dataset (real speech, 8 kHz) from MFCC units and back; the units are those of ../asr2.
set -euo pipefail

asr=../asr2/exp/asr_train_asr_fbank_raw_en_word_sp # made by `cd ../asr2 && ./run.sh --input fbank`

./voc1.sh \
    --lang en \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --fs 8k \
    --upstream mfcc \
    --upstream_conf "sample_rate=8000 frame_shift=20" \
    --nclusters 500 \
    --portion 1.0 \
    --max_frames 200000 \
    --use_sid true \
    --use_f0 true \
    --convert "speaker prosody both" \
    --score_asr_config "${asr}/config.yaml" \
    --score_asr_file "${asr}/valid.loss.ave.pth" \
    --score_asr_args "--config conf/decode_asr.yaml" \
    --score_asr_fs 8k \
    "$@"
