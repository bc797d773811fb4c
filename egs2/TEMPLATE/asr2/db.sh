#!/usr/bin/env bash
# Where the corpora are. Fill in a path, or set the variable in the environment; what is empty is downloaded or made.
# shellcheck disable=SC2034  # read by local/data.sh

FSDD=${FSDD:-} # Free Spoken Digit Dataset: its folder or its .tar.gz (egs2/fsdd)
MINI_AN4=${MINI_AN4:-} # ESPnet's mini AN4: its folder or its .tar.gz (egs2/mini_an4)
MLSUPERB=${MLSUPERB:-} # ML-SUPERB: the unpacked folder, which holds <source>/<language>/wav (egs2/ml_superb, egs2/interspeech2024_dsu_challenge)
LIBRISPEECH=${LIBRISPEECH:-} # LibriSpeech: the folder that is LibriSpeech/ or holds it (egs2/librispeech_100, egs2/librispeech)
LJSPEECH=${LJSPEECH:-} # LJSpeech 1.1: its folder or archive (egs2/ljspeech)
VCTK=${VCTK:-} # VCTK 0.92 or 0.80: its folder or archive (egs2/vctk)
LIBRITTS=${LIBRITTS:-} # LibriTTS: the folder that is LibriTTS/ or holds it (egs2/libritts)
