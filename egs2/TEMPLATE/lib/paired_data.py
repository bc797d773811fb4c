"""What the data preparations of corpora of read speech share: audio with its text."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from espnet_dsu.corpus.datadir import begin_output, validate, write_tables
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table

Tables = dict[str, Table]
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
PARTIAL_HELP = "accept a corpus with fewer utterances than were published"


def words_of(text: str) -> str:
    """Return the words of ``text`` as LibriSpeech writes them.

    In upper case and without punctuation, because a vocoder's recipe reads text only to
    compare it with what a recogniser hears.
    """
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    return " ".join(WORD.findall(text.upper()))


def pair(where: Path, audio: Table, texts: Table, tolerated: float) -> list[str]:
    """Return the sorted ids that have both audio and text; log the others.

    Args:
        where: the corpus's folder, for the messages.
        audio: id -> path.
        texts: id -> words.
        tolerated: the share of ids that may lack one of both.

    Raises:
        DSUError: more do, or there is no utterance.
    """
    both = sorted(audio.keys() & texts)
    mute = [("no text", utt) for utt in sorted(audio.keys() - texts)]
    lost = [("no audio", utt) for utt in sorted(texts.keys() - audio)]
    single = mute + lost
    if not single and both:
        return both
    first = ", ".join(f"{utt}: {reason}" for reason, utt in single[:3]) or "none"
    message = (
        f"{where}: {len(both)} utterances have audio and text, {len(single)} lack one "
        f"of both ({first})"
    )
    if not both or len(single) > tolerated * (len(both) + len(single)):
        raise DSUError(
            f"{message}; unpack the corpus again, or accept what is there by "
            "--local_data_opts '--partial true'"
        )
    logging.warning(f"{message}; these are left out")
    return both


def expect_count(where: Path, what: str, found: int, expected: int | None) -> None:
    """Raise DSUError where a corpus has another number of things than was published.

    Args:
        where: the corpus's folder.
        what: is counted.
        found: number of them.
        expected: number of them; None accepts any but 0.
    """
    if not found or expected not in (None, found):
        raise DSUError(
            f"{where}: {found} {what}, expected {expected or 'some'}; unpack the "
            "corpus again, or accept what is there by --local_data_opts "
            "'--partial true'"
        )


def choose(tables: Tables, utterances: Iterable[str]) -> Tables:
    """Return tables of these utterances only."""
    wanted = sorted(utterances)
    return {name: {u: table[u] for u in wanted} for name, table in tables.items()}


def write_sets(data_dir: str | Path, sets: Mapping[str, Tables]) -> None:
    """Write ``data_dir/<set>``, each checked.

    Raises:
        DSUError: a set is not a valid data directory.
    """
    for name, tables in sets.items():
        folder = Path(data_dir) / name
        begin_output(folder)
        write_tables(folder, tables)
        validate(folder)
        speakers = len(set(tables["utt2spk"].values()))
        logging.info(f"{folder}: {len(tables['text'])} utterances, {speakers} speakers")
