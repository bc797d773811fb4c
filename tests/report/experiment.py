"""A small experiment to report on, whose names and texts mean harm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from espnet_dsu.audio import write_audio
from espnet_dsu.report import ReportOptions
from espnet_dsu.scp import Table, write_scp
from espnet_dsu.units.files import write_units
from espnet_dsu.units.spec import UnitSpec
from tests.speech import voice

HOSTILE_IDS = (
    "<script>window.owned=1</script>",
    "../../etc/passwd",
    '"onerror=window.owned=1//ü#%41?&amp;',
    "\u202eright-to-left",
)
HOSTILE_TEXT = "</p></script><script>window.owned = 1</script> {{ 7 * 7 }} & 'co' \"x\""
COLUMNS = ("original", 'swapped" onload="window.owned=1', "<b>predicted</b>")
FS = 8000
LOG = """\
[host] 2026-11-23 10:20:56,580 (trainer:394) INFO: {epoch}epoch results: \
[train] iter_time=0.002, generator_mel_loss={train}, generator_loss=1.200e+03, \
optim0_lr0=2.000e-04, time=1 minute and 29.33 seconds, total_count=500, \
[valid] generator_mel_loss={valid}, acc=nan, time=1.01 seconds, total_count=12
"""
METRICS = {
    "test": {
        **{"wer": 2.5, "wer_ci": [1.25, 3.75], "num_words": 100, "ser": 9.0},
        **{"sub": 1, "del": 1, "ins": 0, "num_utts": 30, "num_missing": 0},
        **{"decode": "resynth", "mcd": 4.321, "spk_sim_mfcc_statistics": 0.91234},
    },
    "<i>convert</i>/test": {"decode": "<i>convert</i>", "num_utts": 7, "odd": -3},
}


def clip(index: int, column: int, fs: int = FS) -> np.ndarray:
    """Make the sound of a cell, of a length of its own."""
    return voice(0.4 + 0.1 * index - 0.05 * column, 10 * index + column, fs)


def make_experiment(folder: Path) -> ReportOptions:
    """Write wavs, tables, units, scores and a log; return what makes a report of them.

    The second column is at 16 kHz, and the third lacks the last utterance.
    """
    exp = folder / "exp/voc_tiny"
    exp.mkdir(parents=True)
    sources = {}
    for column, name in enumerate(COLUMNS):
        wavs: Table = {}
        for index, utterance in enumerate(HOSTILE_IDS[: 4 - column // 2]):
            fs = 16000 if column == 1 else FS
            path = folder / f"wav{column}/{index}.wav"
            path.parent.mkdir(exist_ok=True)
            write_audio(path, clip(index, column, fs), fs)
            wavs[utterance] = str(path)
        write_scp(folder / f"wav{column}/wav.scp", wavs)
        sources[name] = str(folder / f"wav{column}/wav.scp")
    write_scp(folder / "wav1/utt2spk", {u: "<em>jackson</em>" for u in HOSTILE_IDS})
    write_scp(folder / "text", {u: HOSTILE_TEXT for u in HOSTILE_IDS})
    spec = UnitSpec("mfcc_km20", (20, 20), 160, FS, "ab" * 32)
    units = np.stack([np.arange(40) // 2 % 20, np.arange(40) // 4], axis=1)
    write_units(folder / "units", [(u, units) for u in HOSTILE_IDS[1:]], spec)
    (exp / "metrics.json").write_text(json.dumps(METRICS), "utf-8")
    lines = [LOG.format(epoch=e, train=50 / e, valid=60 / e) for e in (1, 2, 3)]
    (exp / "train.log").write_text("".join(lines), "utf-8")
    return ReportOptions(
        exp_dir=str(exp),
        clips=sources,
        title="<b>Title</b> {{ 7 * 7 }} & co",
        text=str(folder / "text"),
        units_scp=str(folder / "units/units.scp"),
    )
