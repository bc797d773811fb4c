#!/usr/bin/env bash
# Stage 3: speakers and styles as numbers, speaker embeddings.
# shellcheck disable=SC2154  # options and derived names belong to the task script

prepare_speakers() { # stage 3
    local dset
    if "${use_sid}" || "${use_spembs}"; then
        number_names "$(formatted_dir "${train_set}")/utt2spk" "${speakers_dir}/spk2sid"
    fi
    ! "${use_styles}" || number_names "data/${train_set}/utt2style" "${speakers_dir}/style2id"
    for dset in ${all_sets}; do
        ! "${use_sid}" || number_set "${dset}" "$(formatted_dir "${dset}")/utt2spk" spk2sid utt2sid
        ! "${use_styles}" || number_set "${dset}" "data/${dset}/utt2style" style2id utt2style
        ! "${use_spembs}" || [ "${spembs_dir}" != "${default_spembs_dir}" ] || extract_spembs "${dset}"
    done
}

number_names() { # TABLE IDS: give each name in the training set's table a number; 0 is ESPnet's <unk>
    cached "${speakers_dir}" "${2##*/}" --inputs "$1" --outputs "$2" -- write_ids "$1" "$2"
}

write_ids() { # TABLE IDS
    mkdir -p "${2%/*}"
    { echo "<unk> 0" && awk '{ print $2 }' "$1" | LC_ALL=C sort -u | awk '{ print $1, NR }'; } > "$2.tmp"
    mv "$2.tmp" "$2"
}

number_set() { # SET TABLE IDS NUMBERS: the numbers of a set's utterances
    local target=${speakers_dir}/$1
    cached "${target}" "$1 $4" --inputs "$2" "${speakers_dir}/$3" --outputs "${target}/$4" -- \
        write_numbers "$2" "${speakers_dir}/$3" "${target}/$4"
}

# A name that training did not see has no row in the model's table; <unk> would speak with no one's voice.
write_numbers() { # TABLE IDS NUMBERS
    mkdir -p "${3%/*}"
    awk 'NR == FNR { id[$1] = $2; next }
        !($2 in id) {
            print FILENAME ": " $1 " is of " $2 ", which the training set does not have; leave it out, or give speakers" \
                " by embeddings (--use_sid false --use_spembs true)" > "/dev/stderr"
            exit 1
        }
        { print $1, id[$2] }' "./$2" "./$1" > "$3.tmp"
    mv "$3.tmp" "$3"
}

extract_spembs() { # SET: an embedding of each utterance, and the mean of each speaker's
    local source
    source=$(formatted_dir "$1")
    cached "${spembs_dir}/$1" "$1" --inputs "${source}"/{wav.scp,utt2spk} \
        --outputs "${spembs_dir}/$1"/{spembs,spk_spembs}.scp --vars spk_embed_model -- \
        "${python}" -m espnet_dsu.bin.extract_spembs --wav_scp "${source}/wav.scp" --utt2spk "${source}/utt2spk" \
        --speaker_model "${spk_embed_model}" --output_dir "${spembs_dir}/$1" --nj "${nj}"
}
