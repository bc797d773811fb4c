#!/usr/bin/env bash
# Stages 5 to 7: waveforms -> units (and unit pieces), text -> tokens.
# shellcheck disable=SC2154  # options and derived names belong to the task script

upstream_options() { # ARRAY: append what names the upstream and the quantizer
    local -n upstream_out=$1
    local pair pairs
    split_words pairs "${upstream_conf}"
    upstream_out+=(--upstream "${upstream}" --nclusters "${nclusters}")
    for pair in "${pairs[@]}"; do
        upstream_out+=(--upstream_conf "${pair}")
    done
}

check_streams() { # unit pieces are made of one stream of units
    if [ "${src_token_type}" = bpe ] && [[ ${nclusters} == *+* || ${upstream##*@} == *+* ]]; then
        die "--src_token_type bpe makes pieces of one stream of units, and --upstream ${upstream} --nclusters ${nclusters} are several; give --src_token_type unit"
    fi
}

print_tokenizer_tag() { # the bundle's name, which Python alone makes up
    local options=()
    upstream_options options
    "${python}" -m espnet_dsu.bin.train_tokenizer --print_tag "${options[@]}"
}

launcher_options() { # ARRAY: append where the work on a corpus runs
    local -n launcher_out=$1
    local pair pairs
    split_words pairs "${launcher_conf}"
    launcher_out+=(--nj "${nj}" --ngpu "${ngpu}" --launcher "${launcher}")
    for pair in "${pairs[@]}"; do
        launcher_out+=(--launcher_conf "${pair}")
    done
}

# The tokenizer and the token lists learn from the set as recorded, so that perturbed and plain runs share them.
train_tokenizer() { # stage 5
    local options=()
    upstream_options options
    launcher_options options
    cached "${tokenizer_dir}" "" --inputs "${dumpdir}/raw/${train_set}/wav.scp" \
        --outputs "${tokenizer_dir}"/{config.yaml,quantizer.safetensors} \
        --vars upstream upstream_conf nclusters portion max_frames max_memory embed_upstream seed -- \
        "${python}" -m espnet_dsu.bin.train_tokenizer --wav_scp "${dumpdir}/raw/${train_set}/wav.scp" \
        "${options[@]}" --portion "${portion}" --max_frames "${max_frames}" --max_memory "${max_memory}" \
        --embed_upstream "${embed_upstream}" --seed "${seed}" --output_dir "${tokenizer_dir}"
}

# A bundle's config.yaml holds the hashes of all its files; other files are records of its training.
tokenize_sets() {
    local dset options=()
    launcher_options options
    for dset in ${all_sets}; do
        # of the plain training set nothing is read where there is a perturbed one, which holds it
        [ "${dset}" != "${train_set}" ] || [ "${dset}" = "${train_dset}" ] || continue
        cached "${units_dir}/${dset}" "${dset}" --inputs "${dumpdir}/raw/${dset}/wav.scp" \
            "${tokenizer_dir}/config.yaml" --outputs "${units_dir}/${dset}/units.scp" --vars strict -- \
            "${python}" -m espnet_dsu.bin.tokenize --wav_scp "${dumpdir}/raw/${dset}/wav.scp" \
            --tokenizer "${tokenizer_dir}" --output_dir "${units_dir}/${dset}" \
            "${options[@]}" --strict "${strict}"
    done
}

make_token_lists() { # stage 7
    if [ "${input}" = units ] && [ "${src_token_type}" = bpe ]; then
        cached "${bundle_dir}" units --inputs "${units_dir}/${train_dset}/units.scp" \
            "${tokenizer_dir}/config.yaml" --outputs "${bundle_dir}"/{config.yaml,bpe.model} --vars src_nbpe src_bpemode -- \
            "${python}" -m espnet_dsu.bin.train_unit_bpe --units_scp "${units_dir}/${train_dset}/units.scp" \
            --tokenizer "${tokenizer_dir}" --nbpe "${src_nbpe}" --bpemode "${src_bpemode}" \
            --output_dir "${bundle_dir}"
    fi
    local inputs=("${dumpdir}/raw/${train_set}/text") outputs=("${token_list}") options=()
    [ "${bpemodel}" = none ] || outputs+=("${bpemodel}")
    [ "${nlsyms_txt}" = none ] || inputs+=("${nlsyms_txt}") options+=(--nlsyms_txt "${nlsyms_txt}")
    [ "${cleaner}" = none ] || options+=(--cleaner "${cleaner}")
    cached "${token_list%/*}" text --inputs "${inputs[@]}" --outputs "${outputs[@]}" \
        --vars tgt_token_type tgt_nbpe tgt_bpemode nlsyms_txt cleaner -- \
        "${python}" -m espnet_dsu.bin.make_token_list --text "${dumpdir}/raw/${train_set}/text" \
        --token_type "${tgt_token_type}" --nbpe "${tgt_nbpe}" --bpemode "${tgt_bpemode}" \
        --output_dir "${token_list%/*}" "${options[@]}"
}
