"""The model card: README.md of an archive and of a repository on the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from espnet_dsu import bundle
from espnet_dsu.hub.portable import read_config, tokenizer_of
from espnet_dsu.metrics.store import read_metrics
from espnet_dsu.units.pieces import UnitPieces

_RATES = {"wer": "WER", "cer": "CER"}
_MANY = 10
# ISO 639, and the word that the hub knows for many languages.
_LANGUAGE = re.compile("[a-z]{2,3}|multilingual")


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
        config: what its class calls its training config.
        pipeline: the task, as the hub names it.
        title: the task, for people.
        metrics: keys of ``metrics.json`` that the hub shows, and their names.
    """

    config: str
    pipeline: str
    title: str
    metrics: dict[str, str]


KINDS = {
    "asr": Kind(
        "asr_train_config",
        "automatic-speech-recognition",
        "Speech Recognition",
        _RATES,
    ),
    "voc": Kind(
        "train_config", "audio-to-audio", "Speech Resynthesis", {**_RATES, "mcd": "MCD"}
    ),
}


@dataclass(frozen=True)
class Facts:
    """What a card says that is in no file of the model.

    Attributes:
        license: as the hub names it.
        lang: languages of the text, separated by commas.
        corpus: name of the training data; empty if there is none.
        decoding: options of decoding that the results were made with.
        kind: of model, a key of ``KINDS``.
    """

    license: str
    lang: str
    corpus: str
    decoding: dict[str, Any] = field(default_factory=dict)
    kind: str = "asr"


def model_card(folder: Path, config_name: str, facts: Facts, tag: str) -> str:
    """Write the card of the model in ``folder``.

    Args:
        folder: what is or was packed.
        config_name: of the training config in it; ``metrics.json`` and ``RESULTS.md``
            are looked for beside it.
        facts: what the files do not say.
        tag: what a user gives to ``from_pretrained``.

    Returns:
        Markdown with the YAML front matter of the Hugging Face hub.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    config = read_config(folder / config_name)
    experiment = (folder / config_name).parent
    tokenizer = tokenizer_of(config)
    environment = Environment(
        loader=FileSystemLoader(str(files("espnet_dsu.hub"))),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"card_{facts.kind}.md.j2").render(
        front_matter=_to_yaml(front_matter(experiment, facts, tag)),
        tag=tag,
        title=_title(tag),
        on_hub=tag == _title(tag),
        results=_results(experiment / "RESULTS.md"),
        units=unit_facts((folder / tokenizer).parent) if tokenizer else {},
        config=_to_yaml({k: v for k, v in config.items() if v and k != "token_list"}),
        license=facts.license,
        **(_recogniser if facts.kind == "asr" else _voice)(config, facts),
    )


def _recogniser(config: dict[str, Any], facts: Facts) -> dict[str, Any]:
    frontend = config.get("frontend_conf") or {}
    return {
        "rate": sample_rate(frontend.get("fs", 16000)),
        "ctc_only": facts.decoding.get("ctc_weight") == 1.0,
        "arguments": "".join(f", {k}={v!r}" for k, v in facts.decoding.items()),
    }


def _voice(config: dict[str, Any], facts: Facts) -> dict[str, Any]:
    conf = config.get("vocoder_conf") or {}
    speakers, styles = (
        [name for name in sorted(ids, key=ids.__getitem__) if name != "<unk>"]
        for ids in (config.get("spk2sid") or {}, config.get("style2id") or {})
    )
    embedding = conf.get("spk_embed_dim")
    given = {"speaker": speakers[:1], "style": styles[:1]}
    arguments = [f", {name}={value[0]!r}" for name, value in given.items() if value]
    found = {
        "sample rate": f"{sample_rate(config['fs'])} Hz",
        "generator": f"`{config['generator']}`",
        "speakers": _some(speakers),
        "styles": _some(styles),
        "speaker embedding": f"{embedding} values" if embedding else "",
        "pitch": "" if conf.get("f0", "none") == "none" else conf["f0"],
        "durations": "predicted" if conf.get("predict_durations", True) else "",
    }
    return {
        "voice": {name: value for name, value in found.items() if value},
        "arguments": "".join(arguments) + (", spemb=embedding" if embedding else ""),
    }


def _some(names: list[str]) -> str:
    """List names, of many the first few, as text that is no Markdown."""
    listed = ", ".join(f"`{name}`" for name in names[:_MANY])
    return listed + (f", ... ({len(names)} in all)" if len(names) > _MANY else "")


def front_matter(experiment: Path, facts: Facts, tag: str) -> dict[str, Any]:
    """Give the metadata that the hub reads: tags, licence, data and error rates."""
    languages = [word for word in re.split(r"[\s,]+", facts.lang) if word]
    kind = KINDS[facts.kind]
    matter: dict[str, Any] = {
        "tags": ["espnet", "espnet_dsu", "audio", kind.pipeline],
        "library_name": "espnet",
        "pipeline_tag": kind.pipeline,
        "license": facts.license,
    }
    if languages and all(map(_LANGUAGE.fullmatch, languages)):
        matter["language"] = languages
    if facts.corpus:
        matter["datasets"] = [facts.corpus]
    if (experiment / "metrics.json").is_file():
        metrics = read_metrics(experiment / "metrics.json")
        results = [
            _result(kind, name, entry, facts.corpus)
            for name, entry in metrics.items()
            if any(metric in entry for metric in kind.metrics)
        ]
        matter["metrics"] = list(kind.metrics)
        matter["model-index"] = [{"name": _title(tag), "results": results}]
    return matter


def unit_facts(directory: Path) -> dict[str, Any]:
    """Give what a reader of the card wants to know of a tokenizer bundle."""
    content = bundle.load(directory)
    spec, upstream = content.spec, content.upstream
    shift = 1000 * spec.frame_shift / spec.sample_rate
    embedded = "in this model" if upstream.embedded else "loaded by name"
    if upstream.name.partition(":")[0] in ("mfcc", "dmel"):
        embedded = "none"
    facts = {
        "upstream": f"`{upstream.name}`",
        "revision": upstream.conf.get("revision"),
        "weights of the upstream": embedded,
        "quantizer": f"{content.quantizer.name}, K = "
        + " + ".join(map(str, spec.vocab_sizes)),
        "streams": spec.num_streams,
        "frame shift": f"{shift:g} ms",
        "unit pieces": _count_pieces(content.bpe_model),
        "fingerprint": f"`{spec.fingerprint}`",
    }
    return {name: value for name, value in facts.items() if value is not None}


def sample_rate(text: str | int) -> int:
    """Read ESPnet's sample rates: 16000, "16000" or "16k"."""
    number = str(text)
    return int(number[:-1]) * 1000 if number.endswith("k") else int(number)


def _title(tag: str) -> str:
    return tag.removesuffix(".zip")


def _count_pieces(model: bytes | None) -> int | None:
    return None if model is None else len(UnitPieces(model))


def _result(
    kind: Kind, name: str, entry: dict[str, Any], corpus: str
) -> dict[str, Any]:
    data = corpus or "unnamed"
    return {
        "task": {"type": kind.pipeline, "name": kind.title},
        "dataset": {"type": data, "name": f"{data} {name}", "split": name},
        "metrics": [
            {"type": metric, "value": round(entry[metric], 2), "name": title}
            for metric, title in kind.metrics.items()
            if metric in entry
        ],
    }


def _results(path: Path) -> str:
    """Return RESULTS.md as a section of the card: without its title, one level down."""
    if not path.is_file():
        return ""
    text = re.sub(r"\A# .*\n+", "", path.read_text(encoding="utf-8"))
    return re.sub("^#", "##", text, flags=re.MULTILINE).strip()


def _to_yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
