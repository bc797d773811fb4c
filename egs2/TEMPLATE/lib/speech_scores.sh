#!/usr/bin/env bash
# Stages 12 to 14: what was spoken, as a recogniser hears it and as signals; a page to listen; the packed model.
# shellcheck disable=SC2154  # options and derived names belong to the task script

audio_of() { # DECODING SET: the wav.scp of what was spoken, or of the recordings themselves
    if [ "$1" = original ]; then
        echo "${dumpdir}/raw/$2/wav.scp"
    else
        echo "$(decoding_dir "$1" "$2")/wav.scp"
    fi
}

score() { # stage 12
    local dset decoding
    for dset in ${test_sets}; do
        for decoding in ${decodings}; do
            ! "${score_texts}" || recognise "${decoding}" "${dset}"
            score_decoding "${decoding}" "${dset}"
        done
    done
    log "Results: ${voc_exp}/RESULTS.md"
    cat "${voc_exp}/RESULTS.md"
}

recognise() { # DECODING SET
    local target audio inputs
    target=$(decoding_dir "$1" "$2")/asr audio=$(audio_of "$1" "$2")
    inputs=("${audio}" "${dumpdir}/raw/$2/text")
    [ -z "${score_asr_config}" ] || inputs+=("${score_asr_config}" "${score_asr_file}")
    cached "${target}" "$1 $2" --inputs "${inputs[@]}" --outputs "${target}"/{text,ref} \
        --vars score_asr_tag score_asr_fs score_asr_args -- recognise_audio "${audio}" "${dumpdir}/raw/$2/text" "${target}"
}

# The paths in a recogniser's config start from the folder of its recipe, so it runs there, and ours are absolute.
recognise_audio() { # WAV_SCP TEXT FOLDER
    local target words asr folder=.
    target=$(realpath -ms "$3")
    mkdir -p "${target}/data"
    awk '{ utt = $1; sub(/^[^ ]+ /, ""); print utt, (/^\// ? "" : ENVIRON["PWD"] "/") $0 }' "$1" > "${target}/data/wav.scp"
    awk 'NR == FNR { spoken[$1]; next } $1 in spoken' "$1" "$2" | tee "${target}/data/text" > "${target}/ref"
    "${python}" -m espnet_dsu.bin.format_data --data_dir "${target}/data" --output_dir "${target}/audio" \
        --fs "${score_asr_fs}" --nj "${nj}" --strict true
    asr=(--model_tag "${score_asr_tag}")
    if [ -n "${score_asr_config}" ]; then
        folder=$(dirname "$(dirname "$(dirname "${score_asr_config}")")")
        asr=(--asr_train_config "$(realpath -s "${score_asr_config}")" --asr_model_file "$(realpath -s "${score_asr_file}")")
    fi
    split_words words "${score_asr_args}"
    transcribe "${target}" "${target}/audio/wav.scp,speech,sound" env -C "${folder}" "${python}" \
        -m espnet_dsu.bin.asr_inference --ngpu "${inference_ngpu}" "${asr[@]}" "${words[@]}"
}

# The keys of metrics.json are <decoding>/<set>, whatever was scored first.
score_decoding() { # DECODING SET
    local target inputs name
    target=$(decoding_dir "$1" "$2") name=$(decoding_name "$1")
    inputs=("$(audio_of "$1" "$2")" "${dumpdir}/raw/$2/wav.scp")
    ! "${score_texts}" || inputs+=("${target}/asr"/{text,ref})
    [[ $1 != convert_* ]] || inputs+=("${target}/pairs")
    cached "${voc_exp}" "${name} $2" --inputs "${inputs[@]}" --outputs "${voc_exp}"/{metrics.json,RESULTS.md} \
        --vars speaker_model score_args score_text_args -- \
        write_scores "$1" "$2" "${target}" --set_name "${name}/$2" --decode_name "${name}" \
        --metrics_json "${voc_exp}/metrics.json" --output_dir "${target}"
}

write_scores() { # DECODING SET FOLDER OPTION...
    local decoding=$1 dset=$2 target=$3 words bits=()
    shift 3
    if [ "${decoding}" != original ]; then
        score_signals "${decoding}" "${dset}" "${target}" "$@"
        bits=(--units "${units_dir}/${dset}" --collapse false)
        [ "${decoding}" != resynth_predicted ] || bits=(--units "${units_dir}/${dset}" --collapse true)
    fi
    split_words words "${score_text_args}"
    ! "${score_texts}" || "${python}" -m espnet_dsu.bin.score --ref "${target}/asr/ref" --hyp "${target}/asr/text" \
        "${bits[@]}" "$@" "${words[@]}"
}

score_signals() { # DECODING SET FOLDER OPTION...
    local decoding=$1 dset=$2 target=$3 raw=${dumpdir}/raw/$2 options=() words
    shift 3
    if [[ ${decoding} == resynth* ]]; then
        options+=(--gen_durations "${target}/durations" --ref_units_scp "${units_dir}/${dset}/units.scp")
    fi
    if "${use_sid}" || "${use_spembs}"; then
        gather_real_speech "${raw}" "${target}/speakers"
        options+=(--speaker_model "${speaker_model}" --ref_utt2spk "${raw}/utt2spk")
        options+=(--spk_wav_scp "${target}/speakers/wav.scp" --spk_utt2spk "${target}/speakers/utt2spk")
        [[ ${decoding} != convert_* ]] || raw=${target}/pairs
        options+=(--utt2spk "${raw}/utt2spk")
    fi
    split_words words "${score_args}"
    "${python}" -m espnet_dsu.bin.score_speech --gen_wav_scp "${target}/wav.scp" --speed "${target}/speed" --nj "${nj}" \
        --ref_wav_scp "${dumpdir}/raw/${dset}/wav.scp" "${options[@]}" "$@" "${words[@]}"
}

# Speakers are known by their training recordings; those whom training does not have, by the set's own.
gather_real_speech() { # DATA_DIR FOLDER
    local train=${dumpdir}/raw/${train_set}
    mkdir -p "$2"
    awk 'NR == FNR { trained[$2]; print; next } !($2 in trained)' "${train}/utt2spk" "$1/utt2spk" > "$2/utt2spk"
    awk 'FILENAME == ARGV[1] { wanted[$1]; next } $1 in wanted' "$2/utt2spk" "${train}/wav.scp" "$1/wav.scp" > "$2/wav.scp"
}

report() { # stage 13; of the first test set
    local dset=${test_sets%% *} decoding clips=() audio
    audio=("$(audio_of original "${dset}")")
    for decoding in original ${decodings//original/}; do
        clips+=(--clips "${decoding}=$(audio_of "${decoding}" "${dset}")")
        audio+=("$(audio_of "${decoding}" "${dset}")")
    done
    cached "${voc_exp}" "${dset}" --inputs "${audio[@]}" "${dumpdir}/raw/${dset}/text" "${voc_exp}/metrics.json" \
        --outputs "${voc_exp}/report.html" --vars report_utts seed corpus -- \
        "${python}" -m espnet_dsu.bin.make_report --exp_dir "${voc_exp}" --title "${corpus}: ${voc_exp##*/}" "${clips[@]}" \
        --text "${dumpdir}/raw/${dset}/text" --units_scp "${units_dir}/${dset}/units.scp" \
        --num_utts "${report_utts}" --seed "${seed}"
    log "To listen: ${voc_exp}/report.html"
}

pack_model() { # stage 14; the tokenizer bundle goes along by itself
    cached "${voc_exp}" "" --inputs "${voc_exp}"/{config.yaml,"${inference_vocoder}",RESULTS.md,metrics.json} \
        --outputs "${packed_model}" --vars inference_vocoder lang corpus license -- \
        "${python}" -m espnet_dsu.bin.pack voc --train_config "${voc_exp}/config.yaml" \
        --model_file "${voc_exp}/${inference_vocoder}" --outpath "${packed_model}" \
        --lang "${lang}" --corpus "${corpus}" --license "${license}"
}
