"""Score generated speech of a set: speech_scores.tsv, and its means in metrics.json."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet2.utils.types import str_or_none

from espnet_dsu.bin.cli import run
from espnet_dsu.f0 import F0_METHODS
from espnet_dsu.metrics.speech import SpeechOptions, score_speech

_REQUIRED = {
    "gen_wav_scp": "generated audio",
    "ref_wav_scp": "real audio of the same utterances",
    "output_dir": "gets speech_scores.tsv, and failed.tsv where audio failed",
    "set_name": "name of the set in metrics.json",
    "decode_name": "name of the decoding",
    "metrics_json": "exp/<name>/metrics.json; the set is merged into it",
}
_OPTIONAL = {
    "utt2spk": "speaker that each utterance is spoken with",
    "ref_utt2spk": "speaker of the real audio, for closer_to_target",
    "spk_wav_scp": "real speech of the speakers, for the similarity",
    "spk_utt2spk": "its speakers",
    "gen_durations": "durations of the unit runs as spoken (utt d1 d2 ...)",
    "ref_units_scp": "frame units of the real audio, for the duration error",
    "speed": "utt audio_sec compute_sec of the synthesis, for the RTF",
}


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    for name, text in {**_REQUIRED, **_OPTIONAL}.items():
        add(f"--{name}", required=name in _REQUIRED, type=str_or_none, help=text)
    add(
        "--speaker_model",
        default="mfcc_statistics",
        help="mfcc_statistics, espnet:<folder or tag> or hf:<folder or name>",
    )
    add("--max_spk_utts", type=int, default=50, help="of real speech, each speaker")
    add("--f0_method", choices=F0_METHODS, default="pyworld", help="F0 and envelope")
    add("--nj", type=int, default=1, help="number of processes")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    logging.info(score_speech(SpeechOptions(**vars(get_parser().parse_args(cmd)))))


if __name__ == "__main__":
    run(main)
