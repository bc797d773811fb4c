#!/usr/bin/env bash
# What the local/data.sh of recipes share: the folder of a corpus that is given, packed, or still to be downloaded.

shopt -s inherit_errexit  # an error inside $(...) counts too

fail() { # MESSAGE...: end with one line
    echo "local/data.sh: error: $*" >&2
    exit 1
}

# Print the folder of a corpus: that which the variable of db.sh names, or downloads/NAME, unpacked from the archive that
# it names; without either, the archive is downloaded.
find_corpus() { # VARIABLE NAME URL SIZE
    local corpus=${!1} folder=downloads/$2
    if [ -z "${corpus}" ]; then
        corpus=${folder}.tar.gz
        [ -e "${corpus}" ] || download "$@"
    fi
    if [ -f "${corpus}" ]; then
        # GNU tar refuses names that lead out of the folder; a half-done one is never used.
        rm -rf "${folder}" "${folder}.part"
        mkdir -p "${folder}.part"
        tar -xzf "${corpus}" -C "${folder}.part" --no-same-owner || fail "${corpus} does not unpack; expected a .tar.gz"
        mv "${folder}.part" "${folder}"
        corpus=${folder}
    fi
    [ -d "${corpus}" ] || fail "$1=${corpus}: no such folder or .tar.gz"
    echo "${corpus}"
}

download() { # VARIABLE NAME URL SIZE: the archive, to downloads/NAME.tar.gz
    local archive=downloads/$2.tar.gz
    echo "$1 is not set in db.sh: downloading $3 to ${archive} ($4)" >&2
    mkdir -p downloads
    curl -fL --retry 3 -o "${archive}.part" "$3" >&2 || wget -O "${archive}.part" "$3" >&2 ||
        fail "no download; get $3 elsewhere and name the file in db.sh ($1)"
    mv "${archive}.part" "${archive}"
}
