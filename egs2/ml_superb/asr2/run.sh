#!/usr/bin/env bash
# ML-SUPERB: speech of 143 languages to text and language, from units of a multilingual upstream.
# `duration=1h ./run.sh` trains on up to an hour of each language and source instead of ten minutes.
set -euo pipefail

duration=${duration:-10min}
nlsyms_txt=data/local/nlsyms_${duration}.txt

./asr2.sh \
    --lang "multilingual_${duration}" \
    --train_set "train_${duration}" \
    --valid_set "dev_${duration}" \
    --test_sets "dev_${duration} test_${duration}" \
    --local_data_opts "--duration ${duration} --lid true --nlsyms_txt ${nlsyms_txt}" \
    --nlsyms_txt "${nlsyms_txt}" \
    --expdir "exp/${duration}" \
    --fs 16k \
    --ref_channels 0 \
    --upstream hf:utter-project/mHuBERT-147@9 \
    --nclusters 2000 \
    --portion 1.0 \
    --src_token_type bpe \
    --src_nbpe 3000 \
    --src_case rm \
    --tgt_token_type char \
    --use_lm false \
    --asr_config conf/train_asr.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"
