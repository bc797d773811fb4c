#!/usr/bin/env bash
# Options of a task script: its lines `name=default  # help text` above the call of parse_options are the only place
# where an option is written down; parsing and --help are made from them. Values are assigned, never evaluated.
# shellcheck disable=SC2154  # python and stages belong to the task script

list_options() { # print "section TEXT", "option NAME TEXT" and "more TEXT" for the option lines of this script
    sed -n -e '/^parse_options/q' \
        -e 's/^\([a-z][a-z0-9_]*\)=[^#]* # \(.*\)$/option \1 \2/p' \
        -e 's/^  *# \(.*\)$/more - \1/p' \
        -e 's/^# \(.*\)$/section - \1/p' "$0"
}

parse_options() { # ARG...: set the option variables from `--name value` or `--name=value`
    local opt_names opt_name opt_value opt_help=false
    opt_names=" $(list_options | awk '$1 == "option" { printf "%s ", $2 }')"
    while [ $# -gt 0 ]; do
        opt_name=${1%%=*} opt_name=${opt_name#--} opt_name=${opt_name//-/_}
        case $1 in
            -h | --help) opt_help=true && shift && continue ;;
            --?*) [[ ${opt_names} == *" ${opt_name} "* ]] || unknown_option "${opt_name}" "${opt_names}" ;;
            *) die "unexpected argument '$1'; options are written --name value (--help lists them)" ;;
        esac
        if [[ $1 == *=* ]]; then
            opt_value=${1#*=}
            shift
        else
            if [ $# -lt 2 ] || [[ $2 == --* && ${opt_names} == *" ${2#--} "* ]]; then
                die "--${opt_name} needs a value, for example --${opt_name} '${!opt_name}'"
            fi
            opt_value=$2
            shift 2
        fi
        check_value "${opt_name}" "${!opt_name}" "${opt_value}"
        printf -v "${opt_name}" '%s' "${opt_value}"
    done
    if "${opt_help}"; then
        show_help
        exit 0
    fi
}

unknown_option() { # NAME NAMES: end the run, naming the nearest option
    local nearest
    # shellcheck disable=SC2086  # one word per name
    nearest=$(python3 -IS -c 'import difflib, sys
print(*difflib.get_close_matches(sys.argv[1], sys.argv[2:], 1))' "$1" $2 2> /dev/null) || true
    die "unknown option --$1${nearest:+; did you mean --${nearest}?} (--help lists all options)"
}

check_value() { # NAME OLD NEW: a new value is of the old one's kind: true or false, an integer, or a number
    case $1,$2 in
        nclusters,*) [[ $3 =~ ^[0-9]+([+][0-9]+)*$ ]] || die "--$1 '$3': expected an integer, or one for each stream: 500+2000" ;;
        *,true | *,false) [[ $3 == true || $3 == false ]] || die "--$1 '$3': expected true or false" ;;
        *,*[!0-9.]* | *,) ;;
        *.*) [[ $3 =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "--$1 '$3': expected a number, for example $2" ;;
        *) [[ $3 =~ ^[0-9]+$ ]] || die "--$1 '$3': expected an integer, for example $2" ;;
    esac
}

check_choice() { # OPTION CHOICE...: the option holds one of the choices
    local option=$1
    shift
    [[ " $* " == *" ${!option} "* ]] || die "--${option} '${!option}': expected one of: $*"
}

check_given() { # OPTION...: the options hold something
    local option
    for option in "$@"; do
        [[ ${!option} == *[![:space:]]* ]] || die "--${option} is required"
    done
}

show_help() { # what the option lines and the stage table say
    local kind name text section='' row
    echo "Usage: $0 [--option value]..."
    printf '\nOptions:\n'
    while read -r kind name text; do
        case ${kind} in
            section) section=${text} ;;
            more) printf '    %-24s   %s\n' '' "${text}" ;;
            option)
                [ -z "${section}" ] || printf '\n    # %s\n' "${section}"
                section=
                printf '    --%-22s # %s (default="%s")\n' "${name}" "${text}" "${!name}"
                ;;
        esac
    done < <(list_options)
    printf '\nStages:\n'
    for row in "${stages[@]}"; do
        read -r kind name text <<< "${row}"
        printf '    %2s  %-18s %s\n' "${kind}" "${name}" "${text}"
    done
}

# User text such as "--max_epoch 10" becomes words at blanks and newlines: no quoting, no globbing, no evaluation.
split_words() { # ARRAY TEXT
    local -n words_out=$1
    # shellcheck disable=SC2034  # the caller's array
    IFS=$' \t\n' read -r -d '' -a words_out <<< "$2" || true
}

directory_name() { # TEXT: option text as part of a directory's name: "--max_epoch 10" -> "_max_epoch10"
    tr -cd 'A-Za-z0-9._+-' <<< "${1//--/_}"
}

unique_words() { # TEXT: its words without repeats, in order
    tr -s ' \t\n' '\n' <<< "$1" | awk 'NF && !seen[$0]++' | paste -s -d ' ' -
}
