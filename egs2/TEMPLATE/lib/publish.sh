#!/usr/bin/env bash
# Stages 14 to 16: text from the trained recogniser, its scores, the packed model; and a published one in its place.
# shellcheck disable=SC2154  # options and derived names belong to the task script

decode() { # stage 14
    local dset speech inputs
    for dset in ${eval_sets}; do
        speech=$(speech_data "${dset}" "${decode_input}")
        inputs=("${asr_exp}/config.yaml" "${asr_exp}/${inference_asr_model}" "${speech%%,*}")
        [ "${input}" != units ] || inputs+=("${bundle_dir}")
        [ -z "${inference_config}" ] || inputs+=("${inference_config}")
        ! "${use_lm}" || inputs+=("${lm_exp}/config.yaml" "${lm_exp}/${inference_lm}")
        ! "${use_ngram}" || inputs+=("${ngram_exp}/${ngram_num}gram.bin")
        cached "${asr_exp}/${inference_tag}/${dset}" "${dset}" --inputs "${inputs[@]}" \
            --outputs "${asr_exp}/${inference_tag}/${dset}/text" \
            --vars inference_args batch_size nbest_args -- decode_set "${dset}"
    done
    ! "${use_rescoring}" || rescore
}

decode_set() { # SET: decode its utterances
    local options=() words nbest
    [ -z "${inference_config}" ] || options+=(--config "${inference_config}")
    ! "${use_lm}" || options+=(--lm_train_config "${lm_exp}/config.yaml" --lm_file "${lm_exp}/${inference_lm}")
    ! "${use_ngram}" || options+=(--ngram_file "${ngram_exp}/${ngram_num}gram.bin")
    split_words words "${inference_args}"
    split_words nbest "${nbest_args}"
    transcribe "${asr_exp}/${inference_tag}/$1" "$(speech_data "$1" "${decode_input}")" \
        "${python}" -m espnet_dsu.bin.asr_inference --batch_size "${batch_size}" --ngpu "${inference_ngpu}" \
        --asr_train_config "${asr_exp}/config.yaml" --asr_model_file "${asr_exp}/${inference_asr_model}" \
        "${options[@]}" "${words[@]}" "${nbest[@]}"
}

rescore() { # choose again among the n best; the weights that the validation set gets are those of all sets
    local dset first target options words
    split_words words "${rescore_args}"
    for dset in ${eval_sets}; do
        first=${asr_exp}/${inference_tag}/${dset} target=${asr_exp}/${rescoring_tag}/${dset}
        options=(--weights "${asr_exp}/${rescoring_tag}/${valid_set}/weights.json")
        [ "${dset}" != "${valid_set}" ] || options=(--tune_ref "${dumpdir}/raw/${dset}/text" --cleaner "${cleaner}")
        cached "${target}" "${dset}" --inputs "${first}/nbest" "${options[1]}" "${lm_exp}/config.yaml" \
            "${lm_exp}/${inference_lm}" --outputs "${target}/text" --vars rescore_args cleaner -- \
            "${python}" -m espnet_dsu.bin.rescore --nbest_dir "${first}/nbest" --output_dir "${target}" \
            --lm_train_config "${lm_exp}/config.yaml" --lm_file "${lm_exp}/${inference_lm}" \
            --ngpu "${inference_ngpu}" "${options[@]}" "${words[@]}"
    done
}

score() { # stage 15
    local dset words
    for dset in ${eval_sets}; do
        score_set "${dset}" "${inference_tag}" ""
        ! "${use_rescoring}" || score_set "${dset}" "${rescoring_tag}" _rescored
    done
    if [ -x local/score.sh ]; then
        split_words words "${local_score_opts}"
        local/score.sh "${words[@]}" "${asr_exp}"
    fi
    log "Results: ${asr_exp}/RESULTS.md"
    cat "${asr_exp}/RESULTS.md"
}

# The step belongs to the entry of the set in metrics.json, which another --inference_tag would overwrite; hence the
# option among those that make it stale.
score_set() { # SET TAG SUFFIX
    local name=$1$3 target=${asr_exp}/$2/$1 options
    [ "${decode_input}" = "${train_input}" ] || name+=_${decode_input}
    options=(--nlsyms_txt "${nlsyms_txt}" --cleaner "${cleaner}")
    [ ! -e "${dumpdir}/raw/$1/utt2spk" ] || options+=(--utt2spk "${dumpdir}/raw/$1/utt2spk")
    [ "${input}" != units ] || options+=(--units "${units_dir}/$1" --collapse "${collapse}")
    [ "${input}" != units ] || [ ! -e "${bundle_dir}/bpe.model" ] || options+=(--unit_pieces "${bundle_dir}/bpe.model")
    [ ! -e "${bpemodel}" ] || options+=(--bpemodel "${bpemodel}")
    [ ! -d "${asr_exp}/${inference_tag}/$1/nbest" ] || options+=(--nbest_dir "${asr_exp}/${inference_tag}/$1/nbest")
    cached "${asr_exp}" "${name}" --inputs "${dumpdir}/raw/$1/text" "${target}/text" \
        --outputs "${asr_exp}"/{metrics.json,RESULTS.md} "${target}/score_wer" \
        --vars inference_tag nlsyms_txt cleaner -- \
        "${python}" -m espnet_dsu.bin.score --ref "${dumpdir}/raw/$1/text" --hyp "${target}/text" \
        --output_dir "${target}" --set_name "${name}" --metrics_json "${asr_exp}/metrics.json" \
        "${options[@]}"
}

pack_model() { # stage 16; what the training config names goes along by itself: tokenizer bundle, subword model, statistics
    local inputs=("${asr_exp}"/{config.yaml,"${inference_asr_model}",RESULTS.md,metrics.json}) options=()
    if "${use_lm}"; then
        inputs+=("${lm_exp}/config.yaml" "${lm_exp}/${inference_lm}")
        options+=(--lm_train_config "${lm_exp}/config.yaml" --lm_file "${lm_exp}/${inference_lm}")
    fi
    if "${use_ngram}"; then
        inputs+=("${ngram_exp}/${ngram_num}gram.bin")
        options+=(--ngram_file "${ngram_exp}/${ngram_num}gram.bin")
    fi
    if [ -n "${inference_config}" ]; then
        inputs+=("${inference_config}")
        options+=(--inference_config "${inference_config}")
    fi
    cached "${asr_exp}" "" --inputs "${inputs[@]}" --outputs "${packed_model}" \
        --vars inference_asr_model inference_args lang corpus license -- \
        "${python}" -m espnet_dsu.bin.pack asr --asr_train_config "${asr_exp}/config.yaml" \
        --asr_model_file "${asr_exp}/${inference_asr_model}" --outpath "${packed_model}" \
        --lang "${lang}" --corpus "${corpus}" --license "${license}" \
        --inference_args=" ${inference_args}" "${options[@]}"
}

install_published_model() { # --download_model: lay it out as stages 5 to 13 would have left it
    log "Getting ${download_model} -> ${asr_exp}"
    "${python}" -m espnet_dsu.bin.download_model --model_tag "${download_model}" --asr_exp "${asr_exp}" \
        --tokenizer_dir "${expdir}/tokenizer/${tokenizer_tag}"
}
