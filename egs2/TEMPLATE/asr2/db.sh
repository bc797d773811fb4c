#!/usr/bin/env bash
# Where the corpora are. Fill in a path, or set the variable in the environment; what is empty is downloaded or made.
# shellcheck disable=SC2034  # read by local/data.sh

FSDD=${FSDD:-} # Free Spoken Digit Dataset: its folder or its .tar.gz (egs2/fsdd)
