#!/usr/bin/env bash
# Stages 7 to 9: pitch, statistics and training of the vocoder.
# shellcheck disable=SC2154  # options and derived names belong to the task script

tokenize() { # stage 6
    tokenize_sets
}

extract_f0() { # stage 7; a value for each frame of units
    local dset
    for dset in ${all_sets}; do
        cached "${f0_dir}/${dset}" "${dset}" --inputs "${dumpdir}/raw/${dset}/wav.scp" "${units_dir}/${dset}/units.scp" \
            --outputs "${f0_dir}/${dset}/f0.scp" --vars f0_method f0_min f0_max -- \
            "${python}" -m espnet_dsu.bin.extract_f0 --wav_scp "${dumpdir}/raw/${dset}/wav.scp" \
            --units_scp "${units_dir}/${dset}/units.scp" --output_dir "${f0_dir}/${dset}" \
            --nj "${nj}" --method "${f0_method}" --f0_min "${f0_min}" --f0_max "${f0_max}"
    done
}

training_data() { # SET: what training reads of a set, as lines "path,name,type"
    echo "${units_dir}/$1/units.scp,units,dsu_unit"
    echo "${dumpdir}/raw/$1/wav.scp,speech,sound"
    ! "${use_sid}" || echo "${speakers_dir}/$1/utt2sid,sids,text_int"
    ! "${use_styles}" || echo "${speakers_dir}/$1/utt2style,styles,text_int"
    ! "${use_spembs}" || echo "${spembs_dir}/$1/spembs.scp,spembs,kaldi_ark"
    ! "${use_f0}" || echo "${f0_dir}/$1/f0.scp,f0,kaldi_ark"
}

training_keys() { # SET: the utterances of which there is all that training reads: bad audio has no units, or no pitch
    ! "${use_f0}" && echo "${units_dir}/$1/units.scp" || echo "${f0_dir}/$1/f0.scp"
}

vocoder_inputs() { # ARRAY: append the files that statistics and training read
    local -n inputs_out=$1
    local data
    mapfile -t data < <(training_data "${train_set}" && training_data "${valid_set}")
    inputs_out+=("${data[@]%%,*}" "${tokenizer_dir}/config.yaml")
    ! "${use_sid}" || inputs_out+=("${speakers_dir}/spk2sid")
    ! "${use_styles}" || inputs_out+=("${speakers_dir}/style2id")
    [ -z "${vocoder_config}" ] || inputs_out+=("${vocoder_config}")
}

vocoder_options() { # ARRAY: append what statistics and training share
    local -n options_out=$1
    local triple triples
    [ -z "${vocoder_config}" ] || options_out+=(--config "${vocoder_config}")
    options_out+=(--tokenizer "${tokenizer_dir}/config.yaml" --fs "${fs}")
    ! "${use_sid}" || options_out+=(--spk2sid "${speakers_dir}/spk2sid")
    ! "${use_styles}" || options_out+=(--style2id "${speakers_dir}/style2id")
    mapfile -t triples < <(training_data "${train_set}")
    for triple in "${triples[@]}"; do
        options_out+=(--train_data_path_and_name_and_type "${triple}")
    done
    mapfile -t triples < <(training_data "${valid_set}")
    for triple in "${triples[@]}"; do
        options_out+=(--valid_data_path_and_name_and_type "${triple}")
    done
}

collect_stats() { # stage 8
    local inputs=()
    vocoder_inputs inputs
    cached "${voc_stats_dir}" "" --inputs "${inputs[@]}" \
        --outputs "${voc_stats_dir}"/{train,valid}/units_shape --vars vocoder_args fs -- run_vocoder_stats
}

run_vocoder_stats() {
    local options=() words
    vocoder_options options
    split_words words "${vocoder_args}"
    run_stats "${voc_stats_dir}" units "$(training_keys "${train_set}")" "$(training_keys "${valid_set}")" \
        "${python}" -m espnet_dsu.bin.vocoder_train "${options[@]}" "${words[@]}"
}

train_vocoder() { # stage 9
    local inputs=("${voc_stats_dir}"/{train,valid}/units_shape)
    vocoder_inputs inputs
    cached "${voc_exp}" "" --inputs "${inputs[@]}" --outputs "${voc_exp}/config.yaml" "${voc_exp}/*.ave*.pth" \
        --vars vocoder_args fs --weights "${voc_exp}" -- run_vocoder_train
}

run_vocoder_train() {
    local options=() words
    vocoder_options options
    split_words words "${vocoder_args}"
    log "Vocoder training started... log: '${voc_exp}/train.log'"
    run_logged "${voc_exp}/train.log" ":train:\|epoch started\|epoch results" "${python}" -m espnet_dsu.bin.vocoder_train \
        --ngpu "${ngpu}" "${multi_gpu[@]}" "${options[@]}" \
        --train_shape_file "${voc_stats_dir}/train/units_shape" --valid_shape_file "${voc_stats_dir}/valid/units_shape" \
        --fold_length "${units_fold_length}" \
        --resume true --output_dir "${voc_exp}" "${words[@]}"
}
