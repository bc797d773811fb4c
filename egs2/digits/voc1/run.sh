#!/usr/bin/env bash
# Synthetic digit strings (espeak-ng, no download) from MFCC units and back; the units are those of ../asr2.
set -euo pipefail

asr=../asr2/exp/asr_train_asr_fbank_raw_en_word # made by `cd ../asr2 && ./run.sh --input fbank`

./voc1.sh \
    --lang en \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --fs 16k \
    --upstream mfcc \
    --upstream_conf "sample_rate=16000" \
    --nclusters 200 \
    --portion 1.0 \
    --use_sid true \
    --use_f0 true \
    --convert "speaker" \
    --score_asr_config "${asr}/config.yaml" \
    --score_asr_file "${asr}/valid.loss.ave.pth" \
    --score_asr_args "--config conf/decode_asr.yaml" \
    "$@"
