#!/usr/bin/env bash
# Stages 14 to 17: text from the trained recogniser, its scores, the packed model, the hub.
# shellcheck disable=SC2154  # options and derived names belong to the task script

decode() { # stage 14
    local dset speech inputs
    for dset in ${test_sets}; do
        speech=$(speech_data "${dset}" "${decode_input}")
        inputs=("${asr_exp}/config.yaml" "${asr_exp}/${inference_asr_model}" "${speech%%,*}")
        [ "${input}" != units ] || inputs+=("${bundle_dir}")
        [ -z "${inference_config}" ] || inputs+=("${inference_config}")
        ! "${use_lm}" || inputs+=("${lm_exp}/config.yaml" "${lm_exp}/${inference_lm}")
        ! "${use_ngram}" || inputs+=("${ngram_exp}/${ngram_num}gram.bin")
        cached "${asr_exp}/${inference_tag}/${dset}" "${dset}" --inputs "${inputs[@]}" \
            --outputs "${asr_exp}/${inference_tag}/${dset}/text" \
            --vars inference_args batch_size -- decode_set "${dset}"
    done
}

decode_set() { # SET: decode its utterances in inference_nj parts and join the results
    local target=${asr_exp}/${inference_tag}/$1 speech options=() words jobs job name
    speech=$(speech_data "$1" "${decode_input}")
    jobs=$(count_jobs "${inference_nj}" "${speech%%,*}")
    rm -rf "${target}/logdir"
    mkdir -p "${target}/logdir"
    split_file "${speech%%,*}" "${jobs}" "${target}/logdir/keys"
    [ -z "${inference_config}" ] || options+=(--config "${inference_config}")
    ! "${use_lm}" || options+=(--lm_train_config "${lm_exp}/config.yaml" --lm_file "${lm_exp}/${inference_lm}")
    ! "${use_ngram}" || options+=(--ngram_file "${ngram_exp}/${ngram_num}gram.bin")
    split_words words "${inference_args}"
    log "Decoding started... log: '${target}/logdir/asr_inference.*.log'"
    with_progress "decoding $1" "$(wc -l < "${speech%%,*}")" "${target}/logdir/output.*/1best_recog/text" \
        run_jobs "${jobs}" "${target}/logdir/asr_inference.@JOB@.log" "${python}" -m espnet_dsu.bin.asr_inference \
        --batch_size "${batch_size}" --ngpu "${inference_ngpu}" --data_path_and_name_and_type "${speech}" \
        --key_file "${target}/logdir/keys.@JOB@.scp" --asr_train_config "${asr_exp}/config.yaml" \
        --asr_model_file "${asr_exp}/${inference_asr_model}" --output_dir "${target}/logdir/output.@JOB@" \
        "${options[@]}" "${words[@]}"
    for name in token token_int score text; do
        for job in $(seq "${jobs}"); do
            cat "${target}/logdir/output.${job}/1best_recog/${name}"
        done | LC_ALL=C sort -k1 > "${target}/${name}"
    done
}

# The step belongs to the entry of the set in metrics.json, which another --inference_tag would overwrite; hence the
# option among those that make it stale.
score() { # stage 15
    local dset name target words options
    for dset in ${test_sets}; do
        target=${asr_exp}/${inference_tag}/${dset}
        name=${dset}
        [ "${decode_input}" = "${train_input}" ] || name+=_${decode_input}
        options=(--nlsyms_txt "${nlsyms_txt}" --cleaner "${cleaner}")
        [ ! -e "${dumpdir}/raw/${dset}/utt2spk" ] || options+=(--utt2spk "${dumpdir}/raw/${dset}/utt2spk")
        [ "${input}" != units ] || options+=(--units "${units_dir}/${dset}")
        [ "${input}${src_token_type}" != unitsbpe ] || options+=(--unit_pieces "${bundle_dir}/bpe.model")
        cached "${asr_exp}" "${name}" --inputs "${dumpdir}/raw/${dset}/text" "${target}/text" \
            --outputs "${asr_exp}"/{metrics.json,RESULTS.md} "${target}/score_wer" \
            --vars inference_tag nlsyms_txt cleaner -- \
            "${python}" -m espnet_dsu.bin.score --ref "${dumpdir}/raw/${dset}/text" --hyp "${target}/text" \
            --output_dir "${target}" --set_name "${name}" --metrics_json "${asr_exp}/metrics.json" \
            "${options[@]}"
    done
    if [ -x local/score.sh ]; then
        split_words words "${local_score_opts}"
        local/score.sh "${words[@]}" "${asr_exp}"
    fi
    log "Results: ${asr_exp}/RESULTS.md"
    cat "${asr_exp}/RESULTS.md"
}

pack_model() { # stage 16; the tokenizer bundle goes along by itself, since the training config names it
    local inputs=("${asr_exp}"/{config.yaml,"${inference_asr_model}",RESULTS.md,metrics.json}) options=()
    if "${use_lm}"; then
        inputs+=("${lm_exp}/config.yaml" "${lm_exp}/${inference_lm}")
        options+=(--lm_train_config "${lm_exp}/config.yaml" --lm_file "${lm_exp}/${inference_lm}")
    fi
    cached "${asr_exp}" "" --inputs "${inputs[@]}" --outputs "${packed_model}" --vars inference_asr_model -- \
        "${python}" -m espnet_dsu.bin.pack asr --asr_train_config "${asr_exp}/config.yaml" \
        --asr_model_file "${asr_exp}/${inference_asr_model}" --option "${asr_exp}/RESULTS.md" \
        --option "${asr_exp}/metrics.json" --outpath "${packed_model}" "${options[@]}"
}

upload_model() { # stage 17; what the hub holds cannot be known here, so this runs whenever it is asked for
    check_given hf_repo
    steps_done=$((steps_done + 1))
    "${python}" -m espnet_dsu.bin.upload --pack "${packed_model}" --hf_repo "${hf_repo}"
}
