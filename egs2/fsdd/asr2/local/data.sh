#!/usr/bin/env bash
# The Free Spoken Digit Dataset (real speech, 8 kHz, CC BY-SA 4.0) as digit strings:
# data/{train,valid,test}. FSDD in db.sh names the corpus's folder or .tar.gz; where it
# is empty, the corpus is downloaded. Options go to local/make_strings.py (see --help).
set -euo pipefail

. ./path.sh
. ./db.sh

url=https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz
corpus=${FSDD:-}

fail() { echo "local/data.sh: error: $*" >&2; exit 1; }

if [ -z "${corpus}" ]; then
    corpus=downloads/fsdd.tar.gz
    if [ ! -e "${corpus}" ]; then
        echo "FSDD is not set in db.sh: downloading ${url} to ${corpus} (16 MB)"
        mkdir -p downloads
        curl -fL --retry 3 -o "${corpus}.part" "${url}" || wget -O "${corpus}.part" "${url}" \
            || fail "no download; get ${url} elsewhere and name the file in db.sh (FSDD)"
        mv "${corpus}.part" "${corpus}"
    fi
fi

if [ -f "${corpus}" ]; then
    # GNU tar refuses names that lead out of the folder; a half-done one is never used.
    rm -rf downloads/fsdd downloads/fsdd.part
    mkdir -p downloads/fsdd.part
    tar -xzf "${corpus}" -C downloads/fsdd.part --no-same-owner \
        || fail "${corpus} does not unpack; expected a .tar.gz"
    mv downloads/fsdd.part downloads/fsdd
    corpus=downloads/fsdd
fi
[ -d "${corpus}" ] || fail "FSDD=${corpus}: no such folder or .tar.gz"

python3 local/make_strings.py --fsdd "${corpus}" "$@"
