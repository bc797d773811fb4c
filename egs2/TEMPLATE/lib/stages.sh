#!/usr/bin/env bash
# The frame of a task script: log lines, the stage table, and steps that are skipped while they are current.
#
# A task script sets its options and the array `stages` ("number function title"), sources this folder, and calls
# `parse_options "$@"` (options.sh), then `run_stages`. Stages share files, never variables.
# shellcheck disable=SC2154  # the options and the table belong to the task script

current_stage=  # "number function" while a stage runs
steps_done=0    # how many steps had something to do
shopt -s inherit_errexit  # an error inside $(...) counts too

log() { # MESSAGE...: one line in ESPnet's form, placed where the frame was called from
    local frame=1
    while [ "${frame}" -lt $((${#FUNCNAME[@]} - 1)) ] && [[ ${BASH_SOURCE[frame]##*/} == @(stages|options|jobs).sh ]]; do
        frame=$((frame + 1))
    done
    printf '%s (%s:%s:%s) %s\n' "$(date '+%Y-%m-%dT%H:%M:%S')" \
        "${BASH_SOURCE[frame]##*/}" "${BASH_LINENO[frame - 1]}" "${FUNCNAME[frame]}" "$*"
}

die() { # MESSAGE...: end the run with one line
    echo "${0##*/}: error: $*" >&2
    exit 2
}

on_exit() { # name the stage that failed, and leave no job behind
    local code=$? running
    running=$(jobs -p)
    # shellcheck disable=SC2086  # one word per process id
    [ -z "${running}" ] || kill ${running} 2> /dev/null || true
    if [ "${code}" -ne 0 ] && [ -n "${current_stage}" ]; then
        log "Error: stage ${current_stage% *} (${current_stage#* }) failed with exit code ${code}" >&2
    fi
}

run_stages() { # run the rows of `stages` from --stage to --stop_stage but for --skip_stages
    local row number name title
    trap on_exit EXIT
    for row in "${stages[@]}"; do
        read -r number name title <<< "${row}"
        if [ "${number}" -lt "${stage}" ] || [ "${number}" -gt "${stop_stage}" ]; then
            continue
        elif [[ " ${skip_stages} " =~ [[:space:]]${number}[[:space:]] ]]; then
            log "Skip stage ${number}: ${title}"
            continue
        fi
        log "Stage ${number}: ${title}"
        current_stage="${number} ${name}"
        "${name}"  # called plainly: after `if` or `&&` bash would ignore errors inside
    done
    current_stage=
    [ "${steps_done}" -gt 0 ] || log "Nothing to do: everything is up to date"
    log "Successfully finished. [elapsed=${SECONDS}s]"
}

stamp() { # begin|commit MARKER...: see stamp.py
    "${python}" -IS "${BASH_SOURCE[0]%/*}/stamp.py" "$@"
}

# cached DIR LABEL [--inputs PATH...] [--outputs PATH...] [--vars OPTION...] [--weights DIR] -- COMMAND...
# Run COMMAND, which writes into DIR, unless its done-marker says that the outputs are current for these inputs and
# options; say which and why. Markers lie in .stamps/DIR: a program may replace DIR as a whole. LABEL tells apart the
# steps of one stage. --weights: where an earlier training's checkpoints would lie.
cached() {
    local title="Stage ${current_stage% *}${2:+ ($2)}" marker=".stamps/$1/${current_stage#* }${2:+.$2}.json"
    local declared=() kind='' weights='' verdict
    shift 2
    while [ "$1" != -- ]; do
        case "${kind} $1" in
            *' --inputs' | *' --outputs') kind=$1 declared+=("$1") ;;
            *' --vars') kind=$1 declared+=(--options) ;;
            *' --weights') kind=$1 ;;
            '--vars '*) declared+=("$1=${!1}") ;;
            '--weights '*) weights=$1 ;;
            *) declared+=("$1") ;;
        esac
        shift
    done
    shift
    verdict=$(stamp begin "${marker}" "${declared[@]}")
    case ${verdict} in
        current)
            log "${title}: up to date, skipping"
            return
            ;;
        resume:*) log "${title}: going on (${verdict#resume: })" ;;
        redo:*)
            log "${title}: redoing (${verdict#redo: })"
            [ -z "${weights}" ] || set_weights_aside "${weights}"
            ;;
    esac
    steps_done=$((steps_done + 1))
    "$@"
    stamp commit "${marker}"
}

# Training resumes from the checkpoint it finds, so one of other data or options must not lie in its way. It is moved,
# not removed: it may have taken days.
set_weights_aside() { # DIR
    if compgen -G "$1/*.pth" > /dev/null; then
        mkdir -p "$1/superseded"
        mv -f "$1"/*.pth "$1/superseded/"
        log "The former weights are in $1/superseded"
    fi
}
