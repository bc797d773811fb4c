#!/usr/bin/env python3
"""VCTK (https://doi.org/10.7488/ds/2645) as data directories.

Versions 0.92 (silence trimmed, two microphones) and 0.80. Speakers p* but p315, whose
text is lost. Sets, as in ESPnet's recipe: of each speaker's utterances sorted by name,
the last --num_dev are dev, the --num_eval before them eval1, all others tr_no_dev.
Text: the words, in upper case. The corpus is the folder or archive named by --corpus,
or is downloaded.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archives import Release, find_corpus
from espnet2.utils.types import str2bool
from paired_data import (
    PARTIAL_HELP,
    Tables,
    choose,
    expect_count,
    pair,
    words_of,
    write_sets,
)

from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table

RELEASE = Release(
    variable="VCTK",
    url=(
        "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3443/"
        "VCTK-Corpus-0.92.zip"
    ),
    gigabytes=11.7,
    sha256="f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
)
NUM_SPEAKERS = 109  # folders p*, in both versions; s5 of 0.92 is not among them
# Microphone -> speakers that are left out: without text, without that recording.
EXCLUDED = {"mic1": {"p315"}, "mic2": {"p315", "p280"}}
# Both versions have single utterances without text or audio; ESPnet skips them, too.
TOLERATED = 0.01


@dataclass(frozen=True)
class Layout:
    """Where a version of the corpus has its audio: ``audio/<speaker>/<id><ending>``.

    Args:
        folder: of the corpus.
        audio: folder below it.
        endings: of the file names, for each microphone.
    """

    folder: str
    audio: str
    endings: Mapping[str, str]


LAYOUTS = (
    Layout(
        folder="VCTK-Corpus-0.92",
        audio="wav48_silence_trimmed",
        endings={"mic1": "_mic1.flac", "mic2": "_mic2.flac"},
    ),
    Layout(folder="VCTK-Corpus", audio="wav48", endings={"mic1": ".wav"}),
)


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--corpus", default="", help="VCTK-Corpus-0.92/, its parent or archive")
    add("--data_dir", default="data", help="where the sets go")
    add("--download_dir", default="downloads", help="where archives are unpacked to")
    add(
        "--mic",
        default="mic1",
        choices=sorted(EXCLUDED),
        help="microphone of 0.92; mic1 is that of 0.80, mic2 lacks p280",
    )
    add("--num_dev", type=int, default=5, help="utterances to validate on, by speaker")
    add("--num_eval", type=int, default=5, help="utterances to test on, by speaker")
    add("--partial", type=str2bool, default=False, help=PARTIAL_HELP)
    return parser


def find_root(corpus: Path) -> tuple[Path, Layout]:
    """Return the folder that holds the audio and txt/, and its layout.

    Raises:
        DSUError: there is none.
    """
    for layout in LAYOUTS:
        for root in (corpus, corpus / layout.folder):
            if (root / layout.audio).is_dir() and (root / "txt").is_dir():
                return root, layout
    wanted = " or ".join(layout.audio for layout in LAYOUTS)
    raise DSUError(
        f"{corpus}: neither it nor its VCTK-Corpus*/ has {wanted}, and txt; correct "
        "VCTK in db.sh"
    )


def read_texts(folder: Path) -> Table:
    """Read the one text file of each utterance of a speaker.

    Raises:
        DSUError: a file is not UTF-8.
    """
    texts = {}
    for path in folder.glob("*.txt"):
        try:
            texts[path.stem] = words_of(path.read_text("utf-8"))
        except UnicodeDecodeError:
            raise DSUError(f"{path}: not UTF-8; unpack the corpus again") from None
    return texts


def read_corpus(root: Path, layout: Layout, mic: str, partial: bool) -> Tables:
    """Return the tables of all speakers.

    Raises:
        DSUError: there are fewer speakers or utterances than were published, or the
            version lacks the microphone.
    """
    if mic not in layout.endings:
        raise DSUError(f"{root}: has {', '.join(layout.endings)} only, not --mic {mic}")
    ending = layout.endings[mic]
    found = sorted(path.name for path in (root / layout.audio).glob("p[0-9]*"))
    expect_count(root, "speakers p*", len(found), None if partial else NUM_SPEAKERS)
    logging.info(f"{root}: without {', '.join(sorted(EXCLUDED[mic]))}")
    audio: Table = {}
    texts: Table = {}
    for speaker in (name for name in found if name not in EXCLUDED[mic]):
        for path in (root / layout.audio / speaker).glob(f"{speaker}_*{ending}"):
            audio[path.name.removesuffix(ending)] = str(path)
        texts |= read_texts(root / "txt" / speaker)
    both = pair(root, audio, texts, tolerated=1.0 if partial else TOLERATED)
    speakers = {utt: utt.split("_")[0] for utt in both}
    return choose({"wav.scp": audio, "text": texts, "utt2spk": speakers}, both)


def split(tables: Tables, num_dev: int, num_eval: int) -> dict[str, Tables]:
    """Return ESPnet's three sets, which have the same speakers.

    Raises:
        DSUError: a speaker has too few utterances.
    """
    names: dict[str, list[str]] = {"tr_no_dev": [], "eval1": [], "dev": []}
    utterances: dict[str, list[str]] = {}
    for utt, speaker in tables["utt2spk"].items():
        utterances.setdefault(speaker, []).append(utt)
    for speaker, own in utterances.items():
        num_train = len(own) - num_dev - num_eval
        if min(num_train, num_dev, num_eval) < 1:
            raise DSUError(
                f"{len(own)} utterances of {speaker} cannot be split into {num_eval} "
                f"to test on, {num_dev} to validate on and some to train on; set "
                "--num_dev and --num_eval by --local_data_opts"
            )
        names["tr_no_dev"] += own[:num_train]
        names["eval1"] += own[num_train : num_train + num_eval]
        names["dev"] += own[num_train + num_eval :]
    return {name: choose(tables, chosen) for name, chosen in names.items()}


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    corpus = find_corpus(args.corpus, RELEASE, Path(args.download_dir))
    tables = read_corpus(*find_root(corpus), args.mic, args.partial)
    write_sets(args.data_dir, split(tables, args.num_dev, args.num_eval))


if __name__ == "__main__":
    run(main)
