#!/usr/bin/env bash
# What the stages of several tasks share: statistics and transcripts made by jobs, and the hub.
# shellcheck disable=SC2154  # options and derived names belong to the task script

# Collect ESPnet's statistics in nj parts and join them in FOLDER. COMMAND is the training; NAME that of the data which
# the .scp files hold.
run_stats() { # FOLDER NAME TRAIN_SCP VALID_SCP COMMAND...
    local folder=$1 name=$2 train_scp=$3 valid_scp=$4 logdir=$1/logdir jobs job parts=()
    shift 4
    rm -rf "${logdir}"
    mkdir -p "${logdir}"
    jobs=$(count_jobs "${nj}" "${train_scp}" "${valid_scp}")
    split_file "${train_scp}" "${jobs}" "${logdir}/train"
    split_file "${valid_scp}" "${jobs}" "${logdir}/valid"
    with_progress "statistics" "$(wc -l < "${train_scp}")" "${logdir}/stats.*/train/${name}_shape" \
        run_jobs "${jobs}" "${logdir}/stats.@JOB@.log" "$@" --collect_stats true \
        --train_shape_file "${logdir}/train.@JOB@.scp" --valid_shape_file "${logdir}/valid.@JOB@.scp" \
        --output_dir "${logdir}/stats.@JOB@"
    for job in $(seq "${jobs}"); do
        parts+=(--input_dir "${logdir}/stats.${job}")
    done
    "${python}" -m espnet2.bin.aggregate_stats_dirs "${parts[@]}" --output_dir "${folder}"
}

# Decode SPEECH ("path,name,type") in inference_nj parts; FOLDER gets the text. COMMAND is the inference with its model.
transcribe() { # FOLDER SPEECH COMMAND...
    local folder=$1 speech=$2 jobs
    shift 2
    jobs=$(count_jobs "${inference_nj}" "${speech%%,*}")
    rm -rf "${folder}/logdir"
    mkdir -p "${folder}/logdir"
    split_file "${speech%%,*}" "${jobs}" "${folder}/logdir/keys"
    log "Decoding started... log: '${folder}/logdir/asr_inference.*.log'"
    with_progress "decoding ${folder##*/}" "$(wc -l < "${speech%%,*}")" "${folder}/logdir/output.*/1best_recog/text" \
        run_jobs "${jobs}" "${folder}/logdir/asr_inference.@JOB@.log" "${job_gpu[@]}" "$@" \
        --data_path_and_name_and_type "${speech}" --key_file "${folder}/logdir/keys.@JOB@.scp" \
        --output_dir "${folder}/logdir/output.@JOB@"
    join_nbest "${folder}"
}

join_nbest() { # DIR: DIR/nbest/<rank>best_recog from its jobs' lists, and the first of each list in DIR itself
    local rank name
    rm -rf "$1/nbest"
    for rank in $(printf '%s\n' "$1"/logdir/output.*/*best_recog | sed 's|.*/||' | sort -u); do
        mkdir -p "$1/nbest/${rank}"
        for name in token token_int score text; do
            cat "$1"/logdir/output.*/"${rank}/${name}" | LC_ALL=C sort -k1 > "$1/nbest/${rank}/${name}"
        done
    done
    cp "$1"/nbest/1best_recog/{token,token_int,score,text} "$1"
}

upload_model() { # last stage; what the hub holds cannot be known here, so this runs whenever it is asked for
    check_given hf_repo
    steps_done=$((steps_done + 1))
    "${python}" -m espnet_dsu.bin.upload --pack "${packed_model}" --hf_repo "${hf_repo}"
}
