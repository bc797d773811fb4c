#!/usr/bin/env bash
# Stages 1 to 4: a corpus as data directories, and its audio in one format under dumpdir/raw.
# shellcheck disable=SC2154  # options and derived names belong to the task script

prepare_data() { # stage 1; the recipe's own local/data.sh writes data/<set>
    local dset inputs=(local) outputs=() words
    [ ! -e db.sh ] || inputs+=(db.sh)
    for dset in ${train_set} ${valid_set} ${test_sets}; do
        outputs+=("data/${dset}/wav.scp" "data/${dset}/text")
    done
    split_words words "${local_data_opts}"
    cached data "" --inputs "${inputs[@]}" --outputs "${outputs[@]}" --vars local_data_opts -- \
        local/data.sh "${words[@]}"
}

perturb_speed() { # stage 2
    cached "data/${train_dset}" "" --inputs "data/${train_set}" --outputs "data/${train_dset}"/{wav.scp,text} \
        --vars speed_perturb_factors ref_channels -- \
        "${python}" -m espnet_dsu.bin.perturb_speed --data_dir "data/${train_set}" \
        --factors "${speed_perturb_factors}" --output_dir "data/${train_dset}" \
        ${ref_channels:+--ref_channels "${ref_channels}"}
}

formatted_dir() { # SET: where stage 3 writes it; what trains still has to pass the length filter
    case $1 in
        "${train_set}" | "${train_dset}" | "${valid_set}") echo "${dumpdir}/raw/org/$1" ;;
        *) echo "${dumpdir}/raw/$1" ;;
    esac
}

format_audio() { # stage 3
    local dset target channel
    for dset in ${all_sets}; do
        target=$(formatted_dir "${dset}")
        channel=()
        # what stage 2 wrote has one channel
        if [ -n "${ref_channels}" ] && [ "${dset}" != "${train_set}_sp" ]; then
            channel=(--ref_channels "${ref_channels}")
        fi
        cached "${target}" "${dset}" --inputs "data/${dset}" --outputs "${target}"/{wav.scp,text} \
            --vars fs audio_format strict ref_channels -- \
            "${python}" -m espnet_dsu.bin.format_data --data_dir "data/${dset}" --output_dir "${target}" \
            --fs "${fs}" --audio_format "${audio_format}" --nj "${nj}" --strict "${strict}" "${channel[@]}"
    done
}

filter_by_length() { # stage 4; test sets are left as they are
    local dset
    for dset in ${all_sets}; do
        [ "$(formatted_dir "${dset}")" != "${dumpdir}/raw/${dset}" ] || continue
        cached "${dumpdir}/raw/${dset}" "${dset}" --inputs "${dumpdir}/raw/org/${dset}" \
            --outputs "${dumpdir}/raw/${dset}"/{wav.scp,text} --vars fs min_wav_duration max_wav_duration -- \
            "${python}" -m espnet_dsu.bin.filter_data --data_dir "${dumpdir}/raw/org/${dset}" \
            --output_dir "${dumpdir}/raw/${dset}" --fs "${fs}" \
            --min_wav_duration "${min_wav_duration}" --max_wav_duration "${max_wav_duration}"
    done
}
