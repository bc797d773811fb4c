"""Transcribe a whole set, as ESPnet's ``asr_inference`` does."""

from __future__ import annotations

import argparse
import inspect
import logging
from typing import Any

from espnet2.bin import asr_inference
from espnet2.fileio.datadir_writer import DatadirWriter
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed

from espnet_dsu.errors import DSUError
from espnet_dsu.frontend import DiscreteUnitFrontend
from espnet_dsu.inference.asr import Speech2Text
from espnet_dsu.progress import track
from espnet_dsu.tasks.asr import UnitASRTask
from espnet_dsu.tasks.units import check_units
from espnet_dsu.units.files import count_lines


def recognize(args: argparse.Namespace) -> None:
    """Transcribe a set; ``args`` are those of ``espnet2.bin.asr_inference``.

    Writes ``<output_dir>/{1..n}best_recog/{text,token,token_int,score}``. An utterance
    too short for the encoder gets an empty transcript and is named in the log.
    """
    if args.batch_size > 1 or args.ngpu > 1:
        raise DSUError(
            f"batch_size {args.batch_size}, ngpu {args.ngpu}: decoding takes one "
            "utterance at a time on one GPU; run more jobs instead (--inference_nj)"
        )
    set_all_random_seed(args.seed)
    speech2text = _build(args)
    frontend = speech2text.asr_model.frontend
    if isinstance(frontend, DiscreteUnitFrontend):
        check_units(frontend.spec, args.data_path_and_name_and_type)
    # ESPnet logs every hypothesis; that is the log of a job, not its progress.
    keys = args.key_file or args.data_path_and_name_and_type[0][0]
    train_args = speech2text.asr_train_args
    loader = UnitASRTask.build_streaming_iterator(
        args.data_path_and_name_and_type,
        dtype=args.dtype,
        key_file=args.key_file,
        num_workers=args.num_workers,
        preprocess_fn=UnitASRTask.build_preprocess_fn(train_args, False),
        collate_fn=UnitASRTask.build_collate_fn(train_args, False),
        allow_variable_data_keys=args.allow_variable_data_keys,
        inference=True,
    )
    with DatadirWriter(args.output_dir) as writer:
        for (key,), batch in track(loader, count_lines(keys), "decoding"):
            data = {k: v[0] for k, v in batch.items() if not k.endswith("_lengths")}
            _write(writer, key, _transcribe(speech2text, key, data), args.nbest)


def _build(args: argparse.Namespace) -> Any:
    known = inspect.signature(asr_inference.Speech2Text.__init__).parameters
    options = {k: v for k, v in vars(args).items() if k in known}
    options["device"] = "cuda" if args.ngpu else "cpu"
    return Speech2Text.from_pretrained(args.model_tag, **options)


def _transcribe(speech2text: Any, key: str, data: dict[str, Any]) -> Any:
    try:
        return speech2text(**data)
    except asr_inference.TooShortUttError as error:
        logging.warning(f"{key} has an empty transcript: {error}")
        return [("", [], [], None)]


def _write(writer: Any, key: str, results: Any, nbest: int) -> None:
    intermediate = None
    if isinstance(results, tuple):
        results, intermediate = results
    for rank, (text, token, token_int, hyp) in enumerate(results[:nbest], 1):
        files = writer[f"{rank}best_recog"]
        files["token"][key] = " ".join(token)
        files["token_int"][key] = " ".join(map(str, token_int))
        files["score"][key] = str(0.0 if hyp is None else float(hyp.score))
        if text is not None:
            files["text"][key] = text
            files["text"].fd.flush()  # its lines are what shows the progress
    for layer, tokens in (intermediate or {}).items():
        name = f"encoder_interctc_layer{layer}.txt"
        writer["1best_recog"][name][key] = " ".join(tokens)
