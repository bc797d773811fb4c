"""Speak a whole set: what the command ``vocoder_inference`` does."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from torch.utils.data import DataLoader, Dataset

from espnet_dsu.audio import write_audio
from espnet_dsu.errors import DSUError
from espnet_dsu.inference.conversion import ReferenceProsody
from espnet_dsu.inference.request import Manner, Request, Utterance
from espnet_dsu.inference.speaking import Speech
from espnet_dsu.inference.units2speech import Units2Speech
from espnet_dsu.inference.vocoder_inputs import VocoderInputs, check_names
from espnet_dsu.progress import track
from espnet_dsu.scp import read_scp, write_scp, write_tsv

# Batches are cut from so many batches' worth of utterances, for like lengths in each.
_BATCHES_AHEAD = 8


def synthesize(args: argparse.Namespace) -> None:
    """Speak a set; ``args`` are those of ``vocoder_inference``.

    Writes ``wav.scp``, ``wav/``, ``durations``, ``speed`` and, if the vocoder knows
    speakers, ``utt2spk`` to the output directory; ``wav.scp`` comes last. Utterances
    that cannot be spoken are named in ``failed.tsv`` and do not stop the others.

    Raises:
        DSUError: an option or a file that does not fit the vocoder, or not one
            utterance could be spoken.
    """
    set_all_random_seed(args.seed)
    output_dir = Path(args.output_dir)
    for name in ("wav.scp", "speed"):
        (output_dir / name).unlink(missing_ok=True)
    model = Units2Speech.from_pretrained(
        args.model_tag,
        device="cuda" if args.ngpu else "cpu",
        **{k: v for k in ("train_config", "model_file") if (v := vars(args)[k])},
    )
    manner = Manner(
        streams=args.streams,
        durations="predicted" if args.predict_durations else "given",
        length_scale=args.length_scale,
    )
    inputs = _open_inputs(args, model)
    names = list(read_scp(args.key_file or inputs.units_path))
    loader = DataLoader(
        _Requests(inputs, names),
        batch_size=None,
        num_workers=args.num_workers,
        collate_fn=_as_it_is,
    )
    output = _Output(output_dir, model)
    for utterances in _chunks(
        track(loader, len(names), "synthesis"),
        model,
        manner,
        args.batch_sec * _BATCHES_AHEAD,
        output.failed,
    ):
        spoken = model.speak(list(utterances.values()), manner, args.batch_sec)
        for (name, utterance), speech in zip(utterances.items(), spoken):
            output.write(name, utterance, speech)
    output.finish(names)


def _open_inputs(args: argparse.Namespace, model: Units2Speech) -> VocoderInputs:
    """Open the data and compare it with what the vocoder takes."""
    vocoder = model.vocoder
    given_f0 = vocoder.uses_f0 and not args.predict_f0
    data = [d for d in args.data_path_and_name_and_type if given_f0 or d[1] != "f0"]
    reference = None
    if args.utt2ref:
        if args.predict_durations:
            raise DSUError(
                "durations are to be predicted and to follow references; give "
                "--predict_durations or --utt2ref"
            )
        scp = args.ref_f0_scp if given_f0 else None
        if given_f0 and scp is None:
            raise DSUError(
                "the vocoder follows F0: give --ref_f0_scp, that of the references, or "
                "--predict_f0 true"
            )
        streams = model.tokenizer.quantizer.stream_centroids()
        centroids = [table.numpy() for table in streams]
        reference = ReferenceProsody(
            args.utt2ref, args.ref_units_scp, scp, model.spec, centroids
        )
    inputs = VocoderInputs(data, model.spec, reference)
    taken = {
        "sids": bool(vocoder.speakers),
        "styles": bool(vocoder.styles),
        "spembs": vocoder.spk_embed_dim is not None,
    }
    if reference is None:
        taken["f0"] = given_f0
    check_names(taken, inputs.names)
    return inputs


class _Requests(Dataset):
    """What the worker processes of the loader do: read, and say why it fails."""

    def __init__(self, inputs: VocoderInputs, names: list[str]) -> None:
        self.inputs, self.names = inputs, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[str, Request | str]:
        name = self.names[index]
        try:
            return name, self.inputs[name]
        except DSUError as error:
            return name, str(error)


def _as_it_is(item: Any) -> Any:
    return item


def _chunks(
    loader: Iterator[tuple[str, Request | str]],
    model: Units2Speech,
    manner: Manner,
    limit_sec: float,
    failed: dict[str, str],
) -> Iterator[dict[str, Utterance]]:
    """Gather sound utterances of about ``limit_sec``; note what the others lack."""
    chunk: dict[str, Utterance] = {}
    frame_sec = model.vocoder.upsample / model.fs
    seconds = 0.0
    for name, request in loader:
        try:
            if isinstance(request, str):
                raise DSUError(request)
            utterance = model.prepare(request, manner)
        except DSUError as error:
            failed[name] = str(error)
            logging.warning(f"{name} is left out: {error}")
            continue
        chunk[name] = utterance
        if utterance.durations is not None:
            seconds += float(utterance.durations.sum()) * frame_sec
        if seconds >= limit_sec:
            yield chunk
            chunk, seconds = {}, 0.0
    if chunk:
        yield chunk


class _Output:
    """Writes an output directory of ``vocoder_inference``."""

    def __init__(self, directory: Path, model: Units2Speech) -> None:
        self.directory, self.fs = directory, model.fs
        self.failed: dict[str, str] = {}
        self._speakers = {number: name for name, number in model.speakers.items()}
        self._tables: dict[str, dict[str, str]] = {"durations": {}, "speed": {}}
        if self._speakers:
            self._tables["utt2spk"] = {}
        self._tables["wav.scp"] = {}

    def write(self, name: str, utterance: Utterance, speech: Speech) -> None:
        """Write the audio of an utterance; remember the rest."""
        # An id may hold a slash, a file name may not.
        file = name.replace("%", "%25").replace("/", "%2F") + ".wav"
        path = self.directory / "wav" / file
        write_audio(path, speech.wav, self.fs)
        found = {
            "durations": " ".join(map(str, speech.durations)),
            "speed": f"{len(speech.wav) / self.fs:.6f} {speech.compute_sec:.6f}",
            "wav.scp": str(path),
        }
        if utterance.sid is not None:
            found["utt2spk"] = self._speakers[utterance.sid]
        for table, value in found.items():
            self._tables[table][name] = value
        # Its lines are what shows the progress; the whole replaces it in the end.
        with open(self.directory / "speed", "a", encoding="utf-8") as f:
            f.write(f"{name} {found['speed']}\n")

    def finish(self, names: list[str]) -> None:
        """Write the tables, in the order of ``names``.

        Raises:
            DSUError: there is not one utterance.
        """
        rows = [
            (n, " ".join(self.failed[n].split())) for n in names if n in self.failed
        ]
        write_tsv(self.directory / "failed.tsv", rows)
        spoken = len(self._tables["wav.scp"])
        see = f" (see {self.directory}/failed.tsv)" if rows else ""
        if not spoken:
            first = f"; the first, {rows[0][0]}: {rows[0][1]}" if rows else ""
            raise DSUError(f"none of {len(names)} utterances was spoken{first}{see}")
        for table, values in self._tables.items():
            write_scp(
                self.directory / table, {n: values[n] for n in names if n in values}
            )
        logging.info(f"spoke {spoken} utterances, {len(rows)} failed{see}")
