"""Train tokenizers on a corpus: several layers and vocabularies from one pass of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from espnet_dsu import bundle
from espnet_dsu.corpus.engine import Options
from espnet_dsu.corpus.fitting import Fit, fit_quantizer
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
from espnet_dsu.quantizer import FitReport, Quantizer
from espnet_dsu.quantizer.fit_record import write_fit_record
from espnet_dsu.scp import write_tsv
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.upstream import build_upstream

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

    The audio is read once. After an interruption a rerun goes on where it was: the
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
        size = max(target.num_frames for target in targets)
        work = output_dir.with_name(f".{output_dir.name}.work")
        num_processes = fit_nj or max(1, options.ngpu)
        with sample_corpus(job, counts, size, work, options) as (sample, failures):
            for target in todo:
                facts = _facts(target, sample, counts, failures)
                logging.info(
                    f"training {target.path} on {facts['frames']} of "
                    f"{facts['of_frames']} frames (bounded by {facts['bounded_by']}), "
                    f"{facts['utterances']} utterances, {facts['failed']} failed"
                )
                fit = Fit(
                    training.quantizer,
                    target.quantizer_conf(training),
                    sample,
                    target.layer,
                    facts["frames"],
                )
                fitted = fit_quantizer(fit, num_processes, options.ngpu)
                facts["state"] = states[target.path]
                _save(target, training, fitted, facts, failures)
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
    layers = [target.layer for target in targets if target.layer is not None]
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
    frames = min(target.num_frames, sample.num_frames)
    return {
        "upstream": target.upstream,
        "units": target.nclusters,
        "frames": frames,
        "of_frames": sum(counts.values()),
        "bounded_by": target.bound if frames == target.num_frames else "the corpus",
        "utterances": len(counts),
        "failed": len(failures),
    }


def _save(
    target: Target,
    training: Training,
    fitted: tuple[Quantizer, FitReport],
    facts: Mapping[str, Any],
    failures: Sequence[Failure],
) -> None:
    quantizer, report = fitted

    def add(directory: Path) -> None:
        write_fit_record(report, directory)
        write_tsv(directory / FAILED, (astuple(failure) for failure in failures))
        text = json.dumps(facts, indent=1) + "\n"
        (directory / TRAINING).write_text(text, "utf-8")

    upstream = build_upstream(target.upstream, training.upstream_conf)
    tokenizer = UnitTokenizer.join(upstream, quantizer, report)
    tokenizer.save_pretrained(target.path, training.embed_upstream, add)
    logging.info(f"{target.path} is done, fingerprint {tokenizer.fingerprint}")
