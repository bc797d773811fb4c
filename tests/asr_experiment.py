"""A tiny unit ASR experiment, from waveforms to a checkpoint, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from espnet_dsu.corpus.tokenizing import tokenize_corpus
from espnet_dsu.units.files import UnitReader
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.units.sequence import collapse_units
from tests.speech import train_bundle, write_corpus

CONFIG = Path(__file__).parents[1] / "conf" / "asr" / "unit_debug.yaml"
TOKENS = ["<blank>", "<unk>", "one", "two", "three", "<sos/eos>"]
LENGTHS_SEC = [0.8, 1.0, 1.2, 0.9, 1.1, 0.7]


@contextmanager
def chdir(folder: Path) -> Iterator[None]:
    """Work in a folder, as recipes do; contextlib has this from Python 3.11 on."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def prepare(folder: Path, with_pieces: bool = True) -> None:
    """Make data, bundle, units and shape files in ``folder``; paths are relative."""
    with chdir(folder):
        write_corpus(Path("data"), LENGTHS_SEC)
        words = ("one two", "three one", "two", "one", "three two one", "two two")
        lines = [f"utt{i} {text}\n" for i, text in enumerate(words)]
        Path("data/text").write_text("".join(lines))
        Path("data/text_shape").write_text("".join(f"utt{i} 2\n" for i in range(6)))
        Path("data/tokens.txt").write_text("".join(f"{t}\n" for t in TOKENS))
        tokenizer = train_bundle(Path("exp/bundle"))
        tokenize_corpus("data/wav.scp", "exp/bundle", "dump/units")
        if with_pieces:
            units = UnitReader("dump/units/units.scp").values()
            pieces = UnitPieces.train((collapse_units(u)[0] for u in units), 20, 40)
            tokenizer.with_pieces(pieces).save_pretrained("exp/bundle")


def training_options(output_dir: str = "exp/asr") -> list[str]:
    """Give the options of asr_train for the data of :func:`prepare`."""
    options = ["--config", str(CONFIG), "--output_dir", output_dir, "--ngpu", "0"]
    options += ["--token_list", "data/tokens.txt", "--token_type", "word"]
    options += ["--frontend_conf", "tokenizer=exp/bundle/config.yaml"]
    for part in ("train", "valid"):
        data = f"--{part}_data_path_and_name_and_type"
        options += [data, "dump/units/units.scp,speech,dsu_unit"]
        options += [data, "data/text,text,text"]
        options += [f"--{part}_shape_file", "dump/units/utt2num_frames"]
        options += [f"--{part}_shape_file", "data/text_shape"]
    return options


def train(folder: Path, *more: str) -> None:
    """Run the training in ``folder``."""
    from espnet_dsu.bin import asr_train

    os.environ.setdefault("MPLBACKEND", "agg")
    with chdir(folder):
        asr_train.main([*training_options(), *more])
