"""From an experiment to one archive, which ESPnet's own unpacking reads."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from espnet_dsu.errors import DSUError
from espnet_dsu.hub.card import KINDS, Facts, model_card
from espnet_dsu.hub.layout import CARD, FACTS
from espnet_dsu.hub.portable import (
    is_bundle_config,
    is_inside,
    portable,
    portable_bundle,
    read_config,
    referenced_files,
)
from espnet_dsu.units.files import atomic_path

# What of a decoding config makes the model's text; the rest says how to run.
_DECODING = (
    "beam_size",
    "ctc_weight",
    "lm_weight",
    "ngram_weight",
    "penalty",
    "maxlenratio",
    "minlenratio",
    "normalize_length",
    "transducer_conf",
)


def pack_asr(
    outpath: str | Path,
    asr_train_config: str | Path,
    asr_model_file: str | Path,
    lm_train_config: str | Path | None = None,
    lm_file: str | Path | None = None,
    ngram_file: str | Path | None = None,
    inference_config: str | Path | None = None,
    inference_args: str = "",
    option: Iterable[str | Path] = (),
    license: str = "cc-by-4.0",
    lang: str = "noinfo",
    corpus: str = "",
) -> None:
    """Pack an ASR model and all that it needs into one archive, with a model card.

    The tokenizer bundle, the text's subword model and the feature statistics go along
    since the training config names them; ``metrics.json`` and ``RESULTS.md`` since
    they lie beside it. The archive holds no path of this machine.

    Args:
        outpath: the zip to write; run from the folder that the paths in the training
            config are relative to (the recipe's).
        asr_train_config: ``config.yaml`` of the training.
        asr_model_file: the checkpoint.
        lm_train_config: of the language model, if one belongs to it.
        lm_file: its checkpoint.
        ngram_file: an n-gram model, if one belongs to it.
        inference_config: decoding options that ``from_pretrained`` shall start from.
        inference_args: further ones, which win, such as ``--beam_size 5``.
        option: further files.
        license: as the Hugging Face hub names it.
        lang: ISO 639 codes of the text's languages, separated by commas.
        corpus: name of the training data.

    Raises:
        DSUError: if the archive could not be loaded elsewhere, and why.
    """
    if (lm_train_config is None) != (lm_file is None):
        raise DSUError(
            f"lm_train_config is {lm_train_config} and lm_file {lm_file}; give both or "
            "none"
        )
    configs = {"asr_train_config": asr_train_config, "lm_train_config": lm_train_config}
    files = {
        "asr_model_file": asr_model_file,
        "lm_file": lm_file,
        "ngram_file": ngram_file,
    }
    _relative(configs)  # first of all, are they there?
    config = read_config(asr_train_config)
    decoding = _decoding(config, inference_config, inference_args.split())
    facts = Facts(license, lang, corpus, decoding)
    _pack_model(Path(outpath), configs, files, option, facts)


def pack_voc(
    outpath: str | Path,
    train_config: str | Path,
    model_file: str | Path,
    option: Iterable[str | Path] = (),
    license: str = "cc-by-4.0",
    lang: str = "noinfo",
    corpus: str = "",
) -> None:
    """Pack a unit vocoder and its tokenizer bundle into one archive, with a model card.

    Args:
        outpath: the zip to write; run from the folder that the paths in the training
            config are relative to (the recipe's).
        train_config: ``config.yaml`` of the training.
        model_file: the checkpoint.
        option: further files.
        license: as the Hugging Face hub names it.
        lang: ISO 639 codes of the languages, separated by commas.
        corpus: name of the training data.

    Raises:
        DSUError: if the archive could not be loaded elsewhere, and why.
    """
    facts = Facts(license, lang, corpus, kind="voc")
    configs, files = {"train_config": train_config}, {"model_file": model_file}
    _pack_model(Path(outpath), configs, files, option, facts)


def _pack_model(
    outpath: Path,
    configs: Mapping[str, str | Path | None],
    files: Mapping[str, str | Path | None],
    option: Iterable[str | Path],
    facts: Facts,
) -> None:
    """Pack a model: arguments of its class, by name, and what their configs name."""
    yaml_files = _relative(configs)
    contents = {name: portable(read_config(name), name) for name in yaml_files.values()}
    beside = _made(outpath.absolute().parent)
    with tempfile.TemporaryDirectory(prefix=".pack.", dir=beside) as staged:
        names = _stage(Path(staged), contents, [*_relative(files).values(), *option])
        _write_yaml(Path(staged, FACTS), asdict(facts))
        config = yaml_files[KINDS[facts.kind].config]
        card = model_card(Path(staged), config, facts, outpath.name)
        Path(staged, CARD).write_text(card, encoding="utf-8")
        _pack(Path(staged), outpath, _relative(files), yaml_files, names)


def _relative(paths: Mapping[str, str | Path | None]) -> dict[str, str]:
    """Name the given files from the recipe's folder, and make sure that they exist."""
    found = {}
    for key, path in paths.items():
        if path is None:
            continue
        name = os.path.relpath(path)
        if not is_inside(name):
            raise DSUError(f"{path} lies outside {Path.cwd()}; run from the recipe")
        if not os.path.isfile(name):
            raise DSUError(f"{path} is missing, so the model cannot be packed")
        found[key] = name
    return found


def _decoding(
    config: Mapping[str, Any],
    inference_config: str | Path | None,
    inference_args: Sequence[str],
) -> dict[str, Any]:
    asked = {} if inference_config is None else read_config(inference_config)
    for name, value in zip(inference_args, inference_args[1:]):
        asked[name.removeprefix("--")] = yaml.safe_load(value)
    chosen = {key: asked[key] for key in _DECODING if key in asked}
    if (config.get("model_conf") or {}).get("ctc_weight") == 1.0:
        # Such a model has no decoder, which ESPnet's default weight would ask for.
        chosen["ctc_weight"] = 1.0
    return chosen


def _stage(
    folder: Path, configs: Mapping[str, dict[str, Any]], others: Iterable[str | Path]
) -> list[str]:
    """Put all files into ``folder`` by their relative names; return the further ones.

    The names are those that the configs use, even where links lie on the way, since
    unpacking rewrites a path only where it is the very name in the archive.
    """
    for name, config in configs.items():
        _write_yaml(folder / name, config)
    experiment = Path(next(iter(configs))).parent
    scores = (experiment / name for name in ("metrics.json", "RESULTS.md"))
    names = [str(path) for path in [*others, *filter(Path.is_file, scores)]]
    for name, config in configs.items():
        names += referenced_files(config, name)
    names = list(_relative({name: name for name in names}).values())
    for name in names:
        target = folder / name
        if is_bundle_config(name):
            _write_yaml(target, portable_bundle(read_config(name)))
        elif not target.exists():
            _link(Path(name).resolve(), target)
    return names


def _link(source: Path, target: Path) -> None:
    _made(target.parent)
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    _made(path.parent)
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pack(
    folder: Path,
    outpath: Path,
    files: dict[str, str],
    yaml_files: dict[str, str],
    names: list[str],
) -> None:
    from espnet2.main_funcs.pack_funcs import pack

    further = [name for name in names if name not in files.values()]
    with atomic_path(outpath.absolute()) as temporary:
        # ESPnet's pack takes the kind of archive from the suffix.
        zipped = temporary.with_suffix(".zip")
        with _working_in(folder):
            pack(files, yaml_files, zipped, option=[CARD, FACTS, *further])
        os.replace(zipped, temporary)


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Work in ``folder``: ESPnet's pack names files from the working directory."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
