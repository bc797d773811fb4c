"""Score one decoded set: error rates, the files ESPnet leaves, metrics, tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.bitrate import unit_bitrates
from espnet_dsu.metrics.error_rate import (
    ErrorCounts,
    Tokenizer,
    char_tokenizer,
    check_texts,
    count_errors,
    word_tokenizer,
)
from espnet_dsu.metrics.nbest import oracle_rate, read_nbest
from espnet_dsu.metrics.report import interval_text, write_results_md
from espnet_dsu.metrics.sclite import (
    find_sclite,
    run_sclite,
    write_summary,
    write_trn,
)
from espnet_dsu.metrics.store import KINDS, Entry, merge_entry, rate_entry
from espnet_dsu.scp import read_scp
from espnet_dsu.units.pieces import UnitPieces

Texts = Mapping[str, str]


@dataclass(frozen=True)
class ScoreOptions:
    """What to score and how.

    Attributes:
        ref, hyp: Kaldi text files.
        output_dir: ``exp/<name>/<decode>/<set>``; gets ``score_wer/`` and so on.
        set_name: Name of the set in ``metrics.json``.
        metrics_json: ``exp/<name>/metrics.json``; the set is merged into it.
        decode_name: Name of the decoding; else that of the folder above output_dir.
        bpemodel: sentencepiece model of the text; it gives the TER.
        nbest_dir: ``{1..n}best_recog`` of the decoding; gives ``oracle_wer``.
        utt2spk: Kaldi file of speakers, for sclite's rows by speaker.
        nlsyms_txt: File of symbols that do not count, one a line.
        clean_ref, clean_hyp: Applied to each text before it is split.
        units: Unit directory of the set; gives ``bitrate`` and ``bitrate_coded``, and
            with several streams ``bitrate_stream0`` and so on.
        unit_pieces: ``bpe.model`` of the units; gives ``bitrate_pieces``.
        collapse: The model reads unit runs; else ``bitrate`` counts repeats, too.
        extra: Further metrics, each ``name=number``.
        use_sclite: Run sclite where it is installed, for its report.
    """

    ref: str
    hyp: str
    output_dir: str
    set_name: str
    metrics_json: str
    decode_name: str | None = None
    bpemodel: str | None = None
    nbest_dir: str | None = None
    utt2spk: str | None = None
    nlsyms_txt: str | None = None
    clean_ref: Callable[[str], str] = str
    clean_hyp: Callable[[str], str] = str
    units: str | None = None
    unit_pieces: str | None = None
    collapse: bool = True
    extra: Sequence[str] = ()
    use_sclite: bool = True


def score_set(options: ScoreOptions) -> str:
    """Score a set into ``metrics.json`` and ``RESULTS.md``; return a summary.

    Raises:
        DSUError: Files that cannot be read or do not belong together; see
            :mod:`espnet_dsu.metrics.error_rate`.
    """
    output_dir, metrics_json = Path(options.output_dir), Path(options.metrics_json)
    sclite = find_sclite() if options.use_sclite else None
    utt2spk = read_scp(options.utt2spk) if options.utt2spk else {}
    decode = options.decode_name or output_dir.absolute().parent.name
    entry: Entry = {"decode": decode}
    inputs = _inputs(options)
    for kind, (refs, hyps, tokenizer) in inputs.items():
        directory = output_dir / f"score_{kind}"
        counts = score_texts(refs, hyps, tokenizer, directory, sclite, utt2spk)
        entry.update(rate_entry(kind, counts))
        entry["num_utts"] = len(refs)
        entry["num_missing"] = len(refs.keys() - hyps.keys())
    if options.nbest_dir:
        entry.update(_oracle(options, *inputs["wer"]))
    if options.units:
        entry.update(_bitrates(options.units, options.unit_pieces, options.collapse))
    entry.update(map(_metric, options.extra))
    key = merge_entry(metrics_json, options.set_name, entry)
    write_results_md(metrics_json.parent)
    rates = (
        f"{kind.upper()} % {interval_text(kind, entry)}"
        for kind in KINDS
        if kind in entry
    )
    return f"{key}: {', '.join(rates)}"


def score_texts(
    refs: Texts,
    hyps: Texts,
    tokenizer: Tokenizer,
    directory: Path,
    sclite: list[str] | None,
    utt2spk: Texts,
) -> ErrorCounts:
    """Count errors and write ``ref.trn``, ``hyp.trn``, ``result.txt`` to ``directory``.

    ``result.txt`` is sclite's own report where ``sclite`` is its command, else its
    summary row. The counts are ours in both cases; a difference is logged.

    Raises:
        DSUError: The references hold no token, or sclite fails.
    """
    counts = count_errors(refs, hyps, tokenizer)
    for name, texts in (("ref", refs), ("hyp", hyps)):
        tokens = {utt: tokenizer(texts.get(utt, "")) for utt in refs}
        write_trn(directory / f"{name}.trn", tokens, utt2spk)
    if sclite is None:
        write_summary(directory / "result.txt", counts)
        return counts
    theirs, ours = run_sclite(sclite, directory), counts.sums()
    if theirs != ours:
        logging.warning(
            "%s: sclite counts (correct, substituted, deleted, inserted) %s, we count "
            "%s and keep ours; words with sclite's mark-up (@, {) are the usual cause",
            directory,
            theirs,
            ours,
        )
    return counts


def _inputs(options: ScoreOptions) -> dict[str, tuple[Texts, Texts, Tokenizer]]:
    """Read the texts of each kind of error rate, and how to split them."""
    refs, hyps = _read_texts(options.ref, options.hyp)
    refs = {utt: options.clean_ref(text) for utt, text in refs.items()}
    hyps = {utt: options.clean_hyp(text) for utt, text in hyps.items()}
    symbols = _read_symbols(options.nlsyms_txt)
    inputs: dict[str, tuple[Texts, Texts, Tokenizer]] = {
        "wer": (refs, hyps, word_tokenizer(symbols)),
        "cer": (refs, hyps, char_tokenizer(symbols)),
    }
    if options.bpemodel:
        inputs["ter"] = (refs, hyps, _piece_tokenizer(options.bpemodel))
    return inputs


def _read_texts(ref: str, hyp: str) -> tuple[Texts, Texts]:
    refs, hyps = (read_scp(path, allow_empty=True) for path in (ref, hyp))
    check_texts(refs, hyps)
    return refs, hyps


def _piece_tokenizer(path: str) -> Tokenizer:
    try:
        model = Path(path).read_bytes()
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except (OSError, RuntimeError) as error:
        raise DSUError(f"cannot read {path}, a sentencepiece model: {error}") from error
    return lambda text: processor.encode(text, out_type=str)


def _oracle(
    options: ScoreOptions, refs: Texts, hyps: Texts, tokenizer: Tokenizer
) -> Entry:
    """Return the WER of the best hypothesis of each list; nothing of lists of one."""
    nbest = read_nbest(str(options.nbest_dir))
    if max(map(len, nbest.values())) == 1:
        return {}
    texts = {
        utt: [options.clean_hyp(hyp.text) for hyp in nbest.get(utt, ())] for utt in refs
    }
    # What was scored counts as one of the list: text may come from a rescoring of it.
    lists = {utt: [*texts[utt], hyps.get(utt, "")] for utt in refs}
    return {"oracle_wer": round(oracle_rate(refs, lists, tokenizer), 4)}


def _bitrates(units: str, unit_pieces: str | None, collapse: bool) -> Entry:
    pieces = _read_pieces(unit_pieces) if unit_pieces else None
    rates = unit_bitrates(units, pieces, collapse)
    streams = {f"bitrate_stream{s}": rate for s, rate in enumerate(rates.streams)}
    named = {
        "bitrate": rates.challenge,
        **(streams if len(streams) > 1 else {}),
        "bitrate_pieces": rates.pieces,
        "bitrate_coded": rates.coded,
    }
    return {name: round(rate, 2) for name, rate in named.items() if rate is not None}


def _read_pieces(path: str) -> UnitPieces:
    try:
        return UnitPieces(Path(path).read_bytes())
    except (OSError, RuntimeError) as error:
        raise DSUError(f"cannot read {path}, a model of pieces: {error}") from error


def _metric(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise DSUError(
            f"extra metric is {text!r}, expected a name and a number: bitrate=410.0"
        ) from None


def _read_symbols(path: str | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DSUError(f"cannot read {path}, a file of symbols: {error}") from error
    return frozenset(filter(None, (line.rstrip() for line in lines)))
