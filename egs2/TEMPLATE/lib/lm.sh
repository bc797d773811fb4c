#!/usr/bin/env bash
# Language models over the target text, by ESPnet's own programs: stage 6, which makes their text too, and stages 8 to 11.
# shellcheck disable=SC2154  # options and derived names belong to the task script

tokenize() { # stage 6; what comes out is what each later stage reads: units, and text for the language models
    [ "${input}" != units ] || tokenize_sets
    if ! "${skip_train}" && { "${need_lm}" || "${use_ngram}"; }; then
        make_lm_text
    fi
}

make_lm_text() { # the LM's training text: given files or the training transcripts, lines without words left out
    local texts
    split_words texts "${lm_train_text:-${dumpdir}/raw/${train_set}/text}"
    cached "${dumpdir}/raw" lm_train --inputs "${texts[@]}" --outputs "${dumpdir}/raw/lm_train.txt" --vars lm_train_text -- \
        concatenate_texts "${dumpdir}/raw/lm_train.txt" "${texts[@]}"
}

concatenate_texts() { # TARGET FILE...
    mkdir -p "$(dirname "$1")"
    awk 'NF > 1' "${@:2}" > "$1.tmp"
    mv "$1.tmp" "$1"
}

lm_options() { # ARRAY [FOLDER]: append what the LM's statistics and its training share; its text lies in FOLDER
    local -n lm_out=$1
    lm_out+=(
        --use_preprocessor true --bpemodel "${bpemodel}" --token_type "${tgt_token_type}" --token_list "${token_list}"
        --non_linguistic_symbols "${nlsyms_txt}" --cleaner "${cleaner}" --g2p "${g2p}"
        --train_data_path_and_name_and_type "${2:-${dumpdir}/raw}/lm_train.txt,text,text"
        --valid_data_path_and_name_and_type "${lm_dev_text},text,text"
    )
    [ -z "${lm_config}" ] || lm_out+=(--config "${lm_config}")
}

collect_lm_stats() { # stage 8
    cached "${lm_stats_dir}" "" \
        --inputs "${dumpdir}/raw/lm_train.txt" "${lm_dev_text}" "${token_list}" ${lm_config:+"${lm_config}"} \
        --outputs "${lm_stats_dir}"/{train,valid}/"text_shape.${tgt_token_type}" \
        --vars lm_args bpemodel nlsyms_txt cleaner g2p -- run_lm_stats
}

run_lm_stats() {
    local options=() words
    lm_options options
    split_words words "${lm_args}"
    run_stats "${lm_stats_dir}" text "${dumpdir}/raw/lm_train.txt" "${lm_dev_text}" \
        "${python}" -m espnet2.bin.lm_train "${options[@]}" "${words[@]}"
    add_vocabulary_size "${lm_stats_dir}"
}

train_lm() { # stage 9
    local text=${dumpdir}/raw shapes=${lm_stats_dir}/train folder=${lm_stats_dir}/splits${num_splits_lm} options=()
    if [ "${num_splits_lm}" -gt 1 ]; then
        cached "${folder}" "" --inputs "${dumpdir}/raw/lm_train.txt" "${shapes}/text_shape.${tgt_token_type}" \
            --outputs "${folder}"/{lm_train.txt,"text_shape.${tgt_token_type}"} -- \
            deal_lines "${num_splits_lm}" "${folder}" "${dumpdir}/raw/lm_train.txt" "${shapes}/text_shape.${tgt_token_type}"
        options=(--multiple_iterator true) text=${folder} shapes=${folder}
    fi
    lm_options options "${text}"
    cached "${lm_exp}" "" --inputs "${lm_stats_dir}"/{train,valid}/"text_shape.${tgt_token_type}" \
        "${dumpdir}/raw/lm_train.txt" "${lm_dev_text}" "${token_list}" ${lm_config:+"${lm_config}"} \
        --outputs "${lm_exp}/config.yaml" "${lm_exp}/*.ave*.pth" --vars lm_args num_splits_lm --weights "${lm_exp}" -- \
        run_lm_train "${options[@]}" --train_shape_file "${shapes}/text_shape.${tgt_token_type}"
}

run_lm_train() { # OPTION...
    local words
    split_words words "${lm_args}"
    run_logged "${lm_exp}/train.log" "epoch results" "${python}" -m espnet2.bin.lm_train --ngpu "${ngpu}" \
        "${multi_gpu[@]}" "$@" --valid_shape_file "${lm_stats_dir}/valid/text_shape.${tgt_token_type}" \
        --fold_length "${lm_fold_length}" --resume true --output_dir "${lm_exp}" "${words[@]}"
}

calc_perplexity() { # stage 10
    local target=${lm_exp}/perplexity_test
    cached "${target}" "" --inputs "${lm_exp}/config.yaml" "${lm_exp}/${inference_lm}" "${lm_test_text}" \
        --outputs "${target}/ppl" --vars inference_lm -- \
        run_jobs 1 "${target}/lm_calc_perplexity.log" "${python}" -m espnet2.bin.lm_calc_perplexity --ngpu "${ngpu}" \
        --data_path_and_name_and_type "${lm_test_text},text,text" --train_config "${lm_exp}/config.yaml" \
        --model_file "${lm_exp}/${inference_lm}" --output_dir "${target}"
    log "Perplexity of ${lm_test_text}: $(cat "${target}/ppl")"
}

train_ngram() { # stage 11
    cached "${ngram_exp}" "" --inputs "${dumpdir}/raw/lm_train.txt" "${token_list}" \
        --outputs "${ngram_exp}/${ngram_num}gram.bin" --vars ngram_num tgt_token_type bpemodel nlsyms_txt cleaner g2p -- \
        run_ngram
}

run_ngram() { # over the tokens that the recogniser writes: of words, its beam search would know none
    local arpa=${ngram_exp}/${ngram_num}gram.arpa tokens=${ngram_exp}/tokens.txt options=()
    [ "${bpemodel}" = none ] || options+=(--bpemodel "${bpemodel}")
    [ "${nlsyms_txt}" = none ] || options+=(--non_linguistic_symbols "${nlsyms_txt}")
    command -v lmplz > /dev/null || die "--use_ngram true needs KenLM's lmplz and build_binary on the PATH"
    mkdir -p "${ngram_exp}"
    "${python}" -m espnet2.bin.tokenize_text --input "${dumpdir}/raw/lm_train.txt" --output "${tokens}" --field 2- \
        --token_type "${tgt_token_type}" --cleaner "${cleaner}" --g2p "${g2p}" "${options[@]}"
    lmplz -S 20% --discount_fallback -o "${ngram_num}" < "${tokens}" > "${arpa}"
    build_binary -s "${arpa}" "${ngram_exp}/${ngram_num}gram.bin"
}
