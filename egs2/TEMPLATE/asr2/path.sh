#!/usr/bin/env bash
# Finds the python that has espnet_dsu: that of the active environment, else the checkout's .venv, made by `make install`.

export LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1

if [ "${python:-python3}" = python3 ] &&
    ! python3 -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("espnet_dsu"))' 2> /dev/null; then
    checkout=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../..
    if [ ! -x "${checkout}/.venv/bin/python3" ]; then
        echo "path.sh: error: no python with espnet_dsu; run \`make install\` in $(readlink -f "${checkout}")," \
            "or activate an environment that has it" >&2
        exit 1
    fi
    export PATH="${checkout}/.venv/bin:${PATH}"
fi
