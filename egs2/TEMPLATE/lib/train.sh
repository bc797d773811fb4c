#!/usr/bin/env bash
# Stages 12 and 13: statistics and training of the recogniser.
# shellcheck disable=SC2154  # options and derived names belong to the task script

speech_data() { # SET KIND: "path,name,type" of a set's cached units or waveforms, as ESPnet's data loader reads it
    case $2 in
        units) echo "${units_dir}/$1/units.scp,speech,dsu_unit" ;;
        wav) echo "${dumpdir}/raw/$1/wav.scp,speech,sound" ;;
    esac
}

asr_options() { # ARRAY [FOLDER]: append what statistics and training share; the training set may lie in FOLDER in parts
    local -n asr_out=$1
    local speech text=${dumpdir}/raw/${train_dset}/text
    speech=$(speech_data "${train_dset}" "${train_input}")
    [ -z "${2:-}" ] || speech=$2/${speech##*/} text=$2/text
    asr_out+=(
        --use_preprocessor true --bpemodel "${bpemodel}" --token_type "${tgt_token_type}" --token_list "${token_list}"
        --non_linguistic_symbols "${nlsyms_txt}" --cleaner "${cleaner}" --g2p "${g2p}"
        --train_data_path_and_name_and_type "${speech}" --train_data_path_and_name_and_type "${text},text,text"
        --valid_data_path_and_name_and_type "$(speech_data "${valid_set}" "${train_input}")"
        --valid_data_path_and_name_and_type "${dumpdir}/raw/${valid_set}/text,text,text"
    )
    [ -z "${asr_config}" ] || asr_out+=(--config "${asr_config}")
    asr_out+=(--frontend_conf "fs=${fs}")
    if [ "${input}" = units ]; then
        asr_out+=(--frontend discrete_unit --frontend_conf "tokenizer=${bundle_dir}/config.yaml")
        asr_out+=(--frontend_conf "collapse=${collapse}")
    else
        asr_out+=(--frontend default)
    fi
}

asr_inputs() { # ARRAY: append the files that statistics and training read
    local -n inputs_out=$1
    local dset speech
    for dset in "${train_dset}" "${valid_set}"; do
        speech=$(speech_data "${dset}" "${train_input}")
        inputs_out+=("${speech%%,*}" "${dumpdir}/raw/${dset}/text")
    done
    inputs_out+=("${token_list}")
    [ -z "${asr_config}" ] || inputs_out+=("${asr_config}")
    [ "${input}" != units ] || inputs_out+=("${bundle_dir}")
    [ "${bpemodel}" = none ] || inputs_out+=("${bpemodel}")
    [ "${nlsyms_txt}" = none ] || inputs_out+=("${nlsyms_txt}")
}

stats_files() { # ARRAY: append what stage 12 writes and stage 13 reads
    local -n stats_out=$1
    stats_out+=("${asr_stats_dir}"/{train,valid}/{speech_shape,"text_shape.${tgt_token_type}"})
    [ -z "${normalize_by}" ] || stats_out+=("${normalize_by}")
}

collect_stats() { # stage 12
    local inputs=() outputs=()
    asr_inputs inputs
    stats_files outputs
    cached "${asr_stats_dir}" "" --inputs "${inputs[@]}" --outputs "${outputs[@]}" \
        --vars asr_args cleaner g2p src_case fs -- run_asr_stats
}

run_asr_stats() {
    local options=() words train_speech valid_speech
    train_speech=$(speech_data "${train_dset}" "${train_input}")
    valid_speech=$(speech_data "${valid_set}" "${train_input}")
    asr_options options
    split_words words "${asr_args}"
    run_stats "${asr_stats_dir}" speech "${train_speech%%,*}" "${valid_speech%%,*}" \
        "${python}" -m espnet_dsu.bin.asr_train "${options[@]}" "${words[@]}"
    add_vocabulary_size "${asr_stats_dir}"
}

add_vocabulary_size() { # FOLDER: batch sizes by bins need it in the shapes of text
    local mode
    for mode in train valid; do
        awk -v size="$(wc -l < "${token_list}")" '{ print $0 "," size }' "$1/${mode}/text_shape" \
            > "$1/${mode}/text_shape.${tgt_token_type}"
    done
}

train_asr() { # stage 13
    local inputs=() parts=()
    if [ "${num_splits_asr}" -gt 1 ]; then
        parts=("${asr_stats_dir}/splits${num_splits_asr}")
        split_training_set "${parts[@]}"
    fi
    asr_inputs inputs
    stats_files inputs
    cached "${asr_exp}" "" --inputs "${inputs[@]}" --outputs "${asr_exp}/config.yaml" "${asr_exp}/*.ave*.pth" \
        --vars asr_args cleaner g2p src_case fs feats_normalize num_splits_asr --weights "${asr_exp}" -- \
        run_asr_train "${parts[@]}"
}

split_training_set() { # FOLDER: deal out there what training reads of the training set
    local speech files
    speech=$(speech_data "${train_dset}" "${train_input}")
    files=("${speech%%,*}" "${dumpdir}/raw/${train_dset}/text")
    files+=("${asr_stats_dir}"/train/{speech_shape,"text_shape.${tgt_token_type}"})
    cached "$1" "" --inputs "${files[@]}" --outputs "${files[@]/#*\//$1/}" -- deal_training_set "$1" "${files[@]}"
}

deal_training_set() { # FOLDER FILE...: parts of units are units of the same bundle
    deal_lines "${num_splits_asr}" "$@"
    [ "${train_input}" != units ] || cp "${2%/*}/units.yaml" "$1/units.scp/"
}

run_asr_train() { # [FOLDER]: train on the set as it is, or on its parts in FOLDER
    local options=() words shapes=${1:-${asr_stats_dir}/train}
    [ $# -eq 0 ] || options+=(--multiple_iterator true)
    asr_options options "$@"
    [ -z "${normalize_by}" ] || options+=(--normalize global_mvn --normalize_conf "stats_file=${normalize_by}")
    split_words words "${asr_args}"
    log "ASR training started... log: '${asr_exp}/train.log'"
    run_logged "${asr_exp}/train.log" ":train:\|epoch started\|epoch results" "${python}" -m espnet_dsu.bin.asr_train --ngpu "${ngpu}" \
        "${multi_gpu[@]}" "${options[@]}" \
        --train_shape_file "${shapes}/speech_shape" --train_shape_file "${shapes}/text_shape.${tgt_token_type}" \
        --valid_shape_file "${asr_stats_dir}/valid/speech_shape" \
        --valid_shape_file "${asr_stats_dir}/valid/text_shape.${tgt_token_type}" \
        --fold_length "${asr_speech_fold_length}" --fold_length "${asr_text_fold_length}" \
        --resume true --output_dir "${asr_exp}" "${words[@]}"
}
