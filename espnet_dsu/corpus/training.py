"""Train tokenizers on a corpus: several layers and vocabularies from one pass of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import Any

from espnet_dsu import bundle
from espnet_dsu.corpus.engine import Options
from espnet_dsu.corpus.fitting import Fit, Reports, fit_quantizer
from espnet_dsu.corpus.job import Failure
from espnet_dsu.corpus.plan import Utterance
from espnet_dsu.corpus.sample_files import SampleFiles
from espnet_dsu.corpus.sampling import SampleJob, sample_corpus
from espnet_dsu.corpus.tokenizing import DEFAULT_BATCH_SEC, DTYPES, FAILED
from espnet_dsu.corpus.training_plan import (
    Target,
    Training,
    draw_utterances,
    plan_training,
)
from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import Quantizer
from espnet_dsu.quantizer.fit_record import write_fit_record
from espnet_dsu.scp import write_tsv
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.training_streams import join_streams
from espnet_dsu.upstream import Upstream, build_upstream

TRAINING = "training.json"


def train_tokenizers(
    wav_scp: str | Path,
    output_dir: str | Path,
    training: Training,
    options: Options = Options(),
    *,
    batch_sec: float = DEFAULT_BATCH_SEC,
    fit_nj: int | None = None,
) -> list[Path]:
    """Train a tokenizer for each layer and number of units; save their bundles.

    The audio is read once, and each stream of a tokenizer is trained as if it were the
    only one. After an interruption a rerun goes on where it was: the
    sample of frames is kept until all is done, and bundles that are done stay.

    Args:
        wav_scp: utterance ids and their audio files.
        output_dir: the bundle; where there are several, the folder of their folders,
            which are named by their tags.
        training: what to train.
        options: how to run; they do not change the tokenizers.
        batch_sec: seconds of audio per batch on a GPU, padding included.
        fit_nj: number of processes that share a fit; by default one per GPU.

    Returns:
        the bundles' folders. Beside its own files each has ``training.json`` (what it
        was made from), the record of the fit, and ``failed.tsv`` if audio failed.

    Raises:
        DSUError: for options that do not fit, unusable audio, too few frames, or units
            that collapse.
    """
    if training.dtype != "float32" and not (options.ngpu and training.dtype in DTYPES):
        raise DSUError(
            f"dtype is {training.dtype!r}, expected float32, or on GPUs (--ngpu) one "
            f"of {', '.join(DTYPES)}"
        )
    output_dir = Path(output_dir)
    utterances = draw_utterances(wav_scp, training)
    targets, counts = plan_training(training, utterances, output_dir)
    states = {target.path: target.state(training, utterances) for target in targets}
    todo = [target for target in targets if not _is_done(target.path, states)]
    if todo:
        job = _sample_job(training, targets, batch_sec)
        size = max(s.num_frames for target in targets for s in target.streams)
        work = output_dir.with_name(f".{output_dir.name}.work")
        num_processes = fit_nj or max(1, options.ngpu)
        # Targets of one upstream come one after the other.
        load = lru_cache(1)(lambda name: build_upstream(name, training.upstream_conf))
        with sample_corpus(job, counts, size, work, options) as (sample, failures):
            for target in todo:
                facts = _facts(target, sample, counts, failures)
                facts["state"] = states[target.path]
                fits = _fits(target, training, sample, facts)
                done = [fit_quantizer(f, num_processes, options.ngpu) for f in fits]
                tokenizer = _join(load(target.upstream), target, done)
                _save(target, training, tokenizer, facts, failures)
        with suppress(OSError):  # somebody else's files in it stay
            work.rmdir()
    return [target.path for target in targets]


def _is_done(path: Path, states: Mapping[Path, str]) -> bool:
    """Tell whether a bundle is there, whole, and made from just this."""
    try:
        state = json.loads((path / TRAINING).read_text("utf-8"))["state"]
        if state != states[path]:
            return False
        bundle.load(path)
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, KeyError) as error:  # a DSUError is a ValueError
        logging.warning(f"{path} is damaged and will be made again: {error}")
        return False
    logging.info(f"{path} is done")
    return True


def _sample_job(
    training: Training, targets: Sequence[Target], batch_sec: float
) -> SampleJob:
    """Sample for all targets, done or not: so the shards of an earlier run fit."""
    streams = [stream for target in targets for stream in target.streams]
    layers = [stream.layer for stream in streams if stream.layer is not None]
    return SampleJob(
        upstream=targets[-1].upstream,
        upstream_conf=training.upstream_conf,
        identity=targets[-1].identity,
        layers=tuple(dict.fromkeys(layers)),
        seed=training.seed,
        batch_sec=batch_sec,
        dtype=training.dtype,
    )


def _facts(
    target: Target,
    sample: SampleFiles,
    counts: Mapping[Utterance, int],
    failures: Sequence[Failure],
) -> dict[str, Any]:
    """Say what a bundle is trained on, for the log and for whoever finds it."""
    there = sample.num_frames
    return {
        "upstream": target.upstream,
        "of_frames": sum(counts.values()),
        "utterances": len(counts),
        "failed": len(failures),
        "streams": [
            {
                "units": stream.nclusters,
                "frames": min(stream.num_frames, there),
                "bounded_by": (
                    stream.bound if stream.num_frames <= there else "the corpus"
                ),
            }
            for stream in target.streams
        ],
    }


def _fits(
    target: Target, training: Training, sample: SampleFiles, facts: Mapping[str, Any]
) -> Iterator[Fit]:
    """Say what to fit for each stream, when its turn comes."""
    for stream, found in zip(target.streams, facts["streams"]):
        logging.info(
            f"training {found['units']} units of {target.path} on {found['frames']} of "
            f"{facts['of_frames']} frames (bounded by {found['bounded_by']}), "
            f"{facts['utterances']} utterances, {facts['failed']} failed"
        )
        conf = stream.quantizer_conf(training.quantizer_conf, training.seed)
        yield Fit(training.quantizer, conf, sample, stream.layer, found["frames"])


def _join(
    upstream: Upstream, target: Target, done: Sequence[tuple[Quantizer, Reports]]
) -> UnitTokenizer:
    quantizer = join_streams(upstream, target.streams, [part for part, _ in done])
    reports = [report for _, reports in done for report in reports]
    return UnitTokenizer.join(upstream, quantizer, reports)


def _save(
    target: Target,
    training: Training,
    tokenizer: UnitTokenizer,
    facts: Mapping[str, Any],
    failures: Sequence[Failure],
) -> None:
    def add(directory: Path) -> None:
        write_fit_record(tokenizer.reports, directory)
        write_tsv(directory / FAILED, (astuple(failure) for failure in failures))
        text = json.dumps(facts, indent=1) + "\n"
        (directory / TRAINING).write_text(text, "utf-8")

    tokenizer.save_pretrained(target.path, training.embed_upstream, add)
    logging.info(f"{target.path} is done, fingerprint {tokenizer.fingerprint}")
