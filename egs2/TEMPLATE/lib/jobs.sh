#!/usr/bin/env bash
# Commands with log files, alone or several at once on this machine.
# shellcheck disable=SC2154  # options belong to the task script

count_cores() { # nproc would take the threads of one process for the cores
    env -u OMP_NUM_THREADS nproc 2> /dev/null || getconf _NPROCESSORS_ONLN
}

count_gpus() { # the GPUs this run may use: CUDA_VISIBLE_DEVICES where it is set, else all that the driver lists
    if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
        tr ',' '\n' <<< "${CUDA_VISIBLE_DEVICES}" | grep -c '[^ ]' || true
    else
        { nvidia-smi -L 2> /dev/null || true; } | grep -c '^GPU' || true
    fi
}

count_jobs() { # NJ FILE...: NJ, but no more than any file has lines
    local jobs=$1 lines file
    shift
    for file in "$@"; do
        lines=$(wc -l < "${file}")
        [ "${lines}" -gt 0 ] || die "${file} is empty"
        [ "${lines}" -ge "${jobs}" ] || jobs=${lines}
    done
    echo $((jobs))
}

gpu_of_job() { # JOB: the GPU of a job: those that this run may use, in turn
    local gpus
    split_words gpus "${CUDA_VISIBLE_DEVICES-$(seq 0 $(($(count_gpus) - 1)))}"
    split_words gpus "${gpus[*]//,/ }"
    [ "${#gpus[@]}" -gt 0 ] || die "--gpu_inference true, but no GPU is found"
    echo "${gpus[($1 - 1) % ${#gpus[@]}]}"
}

split_file() { # FILE JOBS PREFIX: write PREFIX.1.scp ... PREFIX.JOBS.scp, consecutive lines of FILE
    PREFIX=$3 awk -v jobs="$2" -v total="$(wc -l < "$1")" \
        '{ print > (ENVIRON["PREFIX"] "." (int((NR - 1) * jobs / total) + 1) ".scp") }' "$1"
}

# Deal the lines of each FILE, in the order of the last one's ids, which the others have all, to FOLDER/<its name>/split.N:
# the parts of a training set as ESPnet's --multiple_iterator reads them, even where a set lacks utterances of another.
deal_lines() { # PARTS FOLDER FILE...
    local parts=$1 file target keys=${*: -1}
    [ "$(wc -l < "${keys}")" -ge "${parts}" ] || die "${keys} has fewer lines than the ${parts} parts of --num_splits"
    for file in "${@:3}"; do
        target=$2/${file##*/}
        rm -rf "${target}"
        mkdir -p "${target}"
        PREFIX=${target}/split. awk -v parts="${parts}" 'FILENAME == ARGV[1] { line[$1] = $0; next }
            !($1 in line) { print ARGV[1] " lacks " $1 > "/dev/stderr"; exit 1 }
            { print line[$1] > (ENVIRON["PREFIX"] (FNR - 1) % parts) }' "${file}" "./${keys}"
        echo "${parts}" > "${target}/num_splits"
    done
}

# Run JOBS copies at once, with @JOB@ in LOG and COMMAND replaced by 1 to JOBS; wait for all, then name the failed ones.
# COMMAND may begin with variables, as that of env; there @GPU@ becomes the GPU of the job.
# Several jobs get one thread each, or else they would fight for the cores; OMP_NUM_THREADS of the user's own counts.
run_jobs() { # JOBS LOG COMMAND...
    local jobs=$1 log_file=$2 job pids=() failed=() words gpu='' threads=${OMP_NUM_THREADS:-}
    shift 2
    [ -n "${threads}" ] || [ "${jobs}" -eq 1 ] || threads=1
    for job in $(seq "${jobs}"); do
        mkdir -p "$(dirname "${log_file//@JOB@/${job}}")"
        [[ "$*" != *@GPU@* ]] || gpu=$(gpu_of_job "${job}")
        words=("${@//@JOB@/${job}}")
        env ${threads:+"OMP_NUM_THREADS=${threads}"} "${words[@]//@GPU@/${gpu}}" > "${log_file//@JOB@/${job}}" 2>&1 &
        pids+=($!)
    done
    for job in $(seq "${jobs}"); do
        wait "${pids[job - 1]}" || failed+=("${log_file//@JOB@/${job}}")
    done
    [ "${#failed[@]}" -eq 0 ] || report_failed "${jobs}" "${failed[@]}"
}

# Run COMMAND while showing how many of TOTAL lines the files of the pattern GLOB have.
with_progress() { # WHAT TOTAL GLOB COMMAND...
    local watcher
    "${python}" -m espnet_dsu.bin.watch --what "$1" --total "$2" --files "$3" &
    watcher=$!
    shift 3
    "$@"
    kill "${watcher}" 2> /dev/null || true
    wait "${watcher}" 2> /dev/null || true
}

run_logged() { # LOG PATTERN COMMAND...: run with all output in LOG, showing only the lines that hold PATTERN
    local log_file=$1 pattern=$2
    shift 2
    mkdir -p "$(dirname "${log_file}")"
    "$@" 2>&1 | tee "${log_file}" | { grep --line-buffered -e "${pattern}" || true; } || report_failed 1 "${log_file}"
}

report_failed() { # JOBS LOG...: show the end of the logs, then fail
    local jobs=$1 log_file
    shift
    for log_file in "$@"; do
        echo "---- the end of ${log_file}:"
        tail -n 15 "${log_file}"
    done >&2
    log "Error: $# of ${jobs} jobs failed: $*" >&2
    return 1
}
