"""Who shall speak whose words: pairs for voice conversion."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table, read_scp, write_scp, write_tsv

MODES = ("speaker", "prosody", "both")


class Pairing:
    """Draws targets for utterances, each target about as often as any other.

    Args:
        utt2spk: utterance -> speaker.
        text: utterance -> words; what an utterance and its reference share.
        speakers: of the vocoder, name -> id.
        mode: what is taken of the target: the voice (``speaker``), rhythm and melody of
            an utterance with the same words (``prosody``), or ``both``.
        seed: of the draw.
    """

    def __init__(
        self,
        utt2spk: Mapping[str, str],
        text: Mapping[str, str],
        speakers: Mapping[str, str],
        mode: str,
        seed: int,
    ) -> None:
        self.utt2spk, self.text, self.mode = utt2spk, text, mode
        self.speakers = {name: sid for name, sid in speakers.items() if name != "<unk>"}
        self._said: dict[str, dict[str, list[str]]] = {}
        for utt in sorted(set(utt2spk) & set(text)):
            by_speaker = self._said.setdefault(text[utt], {})
            by_speaker.setdefault(utt2spk[utt], []).append(utt)
        self._rng = np.random.default_rng(seed)
        self._used: Counter[str] = Counter()

    def draw(self) -> tuple[dict[str, Table], Table]:
        """Draw a target speaker for each utterance, never its own.

        Returns:
            the tables ``utt2sid`` and ``utt2spk`` (who speaks) and, unless the mode is
            ``speaker``, ``utt2ref`` (whose prosody); and for the utterances that are
            left out, why.
        """
        tables: dict[str, Table] = {"utt2sid": {}, "utt2spk": {}}
        if self.mode != "speaker":
            tables["utt2ref"] = {}
        left_out: Table = {}
        names = sorted(self.utt2spk)
        for index in self._rng.permutation(len(names)):
            utt = names[index]
            try:
                found = self._target(utt)
            except DSUError as error:
                left_out[utt] = str(error)
                continue
            for table, value in found.items():
                tables[table][utt] = value
        return tables, left_out

    def _target(self, utt: str) -> Table:
        own = self.utt2spk[utt]
        said = self._said.get(self.text.get(utt, ""), {})
        candidates = set(self.speakers if self.mode == "speaker" else said) - {own}
        if self.mode == "both":
            candidates &= set(self.speakers)
        if self.mode == "prosody" and own not in self.speakers:
            raise DSUError(f"{own} is no speaker of the vocoder")
        if not candidates:
            same = "" if self.mode == "speaker" else " that says the same"
            raise DSUError(f"there is no other speaker{same}")
        least = min(self._used[c] for c in candidates)
        target = self._pick(sorted(c for c in candidates if self._used[c] == least))
        self._used[target] += 1
        voice = own if self.mode == "prosody" else target
        found = {"utt2sid": self.speakers[voice], "utt2spk": voice}
        if self.mode != "speaker":
            found["utt2ref"] = self._pick(said[target])
        return found

    def _pick(self, items: Sequence[str]) -> str:
        return items[int(self._rng.integers(len(items)))]


def write_pairs(
    utt2spk: str | Path,
    text: str | Path | None,
    spk2sid: str | Path,
    output_dir: str | Path,
    mode: str,
    seed: int,
) -> None:
    """Write the pairs of a set, and ``left_out.tsv``; see :class:`Pairing`.

    Raises:
        DSUError: a table cannot be read, prosody is asked for without text, or there is
            not one pair.
    """
    if mode != "speaker" and text is None:
        raise DSUError(f"mode {mode} needs --text, to find references by their words")
    words = {} if text is None else read_scp(text, allow_empty=True)
    sources = read_scp(utt2spk)
    pairing = Pairing(sources, words, read_scp(spk2sid), mode, seed)
    tables, left_out = pairing.draw()
    if not tables["utt2sid"]:
        reason = next(iter(left_out.values()), "there is no utterance")
        raise DSUError(f"{utt2spk}: no utterance can be converted: {reason}")
    output_dir = Path(output_dir)
    for name, table in tables.items():
        write_scp(output_dir / name, {u: table[u] for u in sources if u in table})
    write_tsv(output_dir / "left_out.tsv", sorted(left_out.items()))
    see = f" (see {output_dir}/left_out.tsv)" if left_out else ""
    logging.info(
        f"{len(tables['utt2sid'])} utterances to convert, {len(left_out)} left out{see}"
    )
