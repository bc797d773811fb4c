#!/usr/bin/env bash
# Stages 10 and 11: speech from units, in the speaker's own voice and rhythm or in another's.
# shellcheck disable=SC2154  # options and derived names belong to the task script

decoding_name() { # DECODING: its name among those of other inference options, which do not change the recordings
    [ "$1" = original ] && echo original || echo "$1${inference_tag:+_${inference_tag}}"
}

decoding_dir() { # DECODING SET
    echo "${voc_exp}/$(decoding_name "$1")/$2"
}

synthesize() { # stage 10
    local dset
    for dset in ${test_sets}; do
        [[ " ${durations} " != *" given "* ]] || speak resynth "${dset}" --predict_durations false
        [[ " ${durations} " != *" predicted "* ]] ||
            speak resynth_predicted "${dset}" --predict_durations true --predict_f0 "${use_f0}"
    done
}

convert() { # stage 11
    local dset mode reference
    for dset in ${test_sets}; do
        for mode in ${convert}; do
            choose_targets "${mode}" "${dset}"
            reference=()
            if [ "${mode}" != speaker ]; then
                reference+=(--utt2ref "$(decoding_dir "convert_${mode}" "${dset}")/pairs/utt2ref")
                reference+=(--ref_units_scp "${units_dir}/${dset}/units.scp")
                ! "${use_f0}" || reference+=(--ref_f0_scp "${f0_dir}/${dset}/f0.scp")
            fi
            speak "convert_${mode}" "${dset}" "${reference[@]}"
        done
    done
}

choose_targets() { # MODE SET: whose voice or rhythm each utterance gets
    local pairs inputs=("${dumpdir}/raw/$2"/{utt2spk,text} "${speakers_dir}/spk2sid") outputs
    pairs=$(decoding_dir "convert_$1" "$2")/pairs
    outputs=("${pairs}"/{utt2sid,utt2spk})
    [ "$1" = speaker ] || outputs+=("${pairs}/utt2ref")
    if "${use_spembs}" && [ "$1" != prosody ]; then
        inputs+=("${spembs_dir}/${train_set}/spk_spembs.scp")
        outputs+=("${pairs}/spembs.scp")
    fi
    cached "${pairs}" "$1 $2" --inputs "${inputs[@]}" --outputs "${outputs[@]}" --vars seed -- \
        write_targets "$1" "$2" "${pairs}"
}

write_targets() { # MODE SET FOLDER; a new speaker's embedding is the mean of those of the training set
    "${python}" -m espnet_dsu.bin.make_conversion_pairs --utt2spk "${dumpdir}/raw/$2/utt2spk" \
        --text "${dumpdir}/raw/$2/text" --spk2sid "${speakers_dir}/spk2sid" --mode "$1" --seed "${seed}" --output_dir "$3"
    if "${use_spembs}" && [ "$1" != prosody ]; then
        awk 'NR == FNR { speaker = $1; sub(/^[^ ]+ /, ""); embedding[speaker] = $0; next }
            { print $1, embedding[$2] }' "${spembs_dir}/${train_set}/spk_spembs.scp" "$3/utt2spk" > "$3/spembs.scp"
    fi
}

spoken_data() { # DECODING SET: what is spoken, as lines "path,name,type"; the pitch of a reference comes with it
    local pairs
    pairs=$(decoding_dir "$1" "$2")/pairs
    echo "${units_dir}/$2/units.scp,units,dsu_unit"
    ! "${use_styles}" || echo "${speakers_dir}/$2/utt2style,styles,text_int"
    case $1 in
        convert_*) ! "${use_sid}" || echo "${pairs}/utt2sid,sids,text_int" ;;
        *) ! "${use_sid}" || echo "${speakers_dir}/$2/utt2sid,sids,text_int" ;;
    esac
    case $1 in
        convert_speaker | convert_both) ! "${use_spembs}" || echo "${pairs}/spembs.scp,spembs,kaldi_ark" ;;
        *) ! "${use_spembs}" || echo "${spembs_dir}/$2/spembs.scp,spembs,kaldi_ark" ;;
    esac
    case $1 in
        resynth | convert_speaker) ! "${use_f0}" || echo "${f0_dir}/$2/f0.scp,f0,kaldi_ark" ;;
    esac
}

speak() { # DECODING SET OPTION...
    local decoding=$1 dset=$2 target keys=${units_dir}/$2/units.scp data inputs word
    shift 2
    target=$(decoding_dir "${decoding}" "${dset}")
    [[ ${decoding} != convert_* ]] || keys=${target}/pairs/utt2spk
    mapfile -t data < <(spoken_data "${decoding}" "${dset}")
    inputs=("${voc_exp}/config.yaml" "${voc_exp}/${inference_vocoder}" "${tokenizer_dir}/config.yaml" "${keys}")
    inputs+=("${data[@]%%,*}")
    for word in "$@"; do
        [[ ${word} != */* ]] || inputs+=("${word}")
    done
    cached "${target}" "${decoding} ${dset}" --inputs "${inputs[@]}" --outputs "${target}"/{wav.scp,speed} \
        --vars inference_args seed -- speak_in_parts "${target}" "${keys}" "${data[@]/#/--data_path_and_name_and_type=}" "$@"
}

speak_in_parts() { # FOLDER KEYS OPTION...: speak in inference_nj parts; FOLDER gets the lists of all
    local target=$1 keys=$2 jobs words name
    shift 2
    jobs=$(count_jobs "${inference_nj}" "${keys}")
    rm -rf "${target}/parts"
    mkdir -p "${target}/parts"
    split_file "${keys}" "${jobs}" "${target}/parts/keys"
    split_words words "${inference_args}"
    log "Synthesis started... log: '${target}/parts/vocoder_inference.*.log'"
    with_progress "speaking ${target##*/}" "$(wc -l < "${keys}")" "${target}/parts/*/speed" \
        run_jobs "${jobs}" "${target}/parts/vocoder_inference.@JOB@.log" "${job_gpu[@]}" "${python}" \
        -m espnet_dsu.bin.vocoder_inference --ngpu "${inference_ngpu}" --train_config "${voc_exp}/config.yaml" \
        --model_file "${voc_exp}/${inference_vocoder}" --key_file "${target}/parts/keys.@JOB@.scp" \
        --output_dir "${target}/parts/@JOB@" --seed "${seed}" "$@" "${words[@]}"
    for name in wav.scp durations utt2spk speed; do
        ! compgen -G "${target}/parts/*/${name}" > /dev/null ||
            cat "${target}"/parts/*/"${name}" | LC_ALL=C sort -k1 > "${target}/${name}"
    done
}
