"""The token list of the text, and its sentencepiece model, as ESPnet expects them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import sentencepiece

from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import atomic_path

_BLANK, _UNKNOWN, _SOS_EOS = "<blank>", "<unk>", "<sos/eos>"


def make_token_list(
    text: Sequence[str | Path],
    output_dir: str | Path,
    token_type: str = "bpe",
    nbpe: int = 30,
    bpemode: str = "unigram",
    nlsyms_txt: str | Path | None = None,
    cleaner: str | None = None,
) -> None:
    """Write ``tokens.txt`` and, for subwords, ``bpe.model`` into ``output_dir``.

    Args:
        text: Kaldi-style text files, ``<utterance id> <words>`` a line.
        output_dir: made if missing.
        token_type: ``bpe``, ``char`` or ``word``.
        nbpe: number of subwords.
        bpemode: ``unigram`` or ``bpe``.
        nlsyms_txt: file of symbols that stay whole, one a line.
        cleaner: ESPnet's text cleaner.

    Raises:
        DSUError: if there is no text, or too little for ``nbpe`` subwords.
    """
    output_dir = Path(output_dir)
    sentences = [line for path in text for line in _transcripts(Path(path))]
    if not any(sentences):
        raise DSUError(f"there is no text in {', '.join(map(str, text))}")
    if token_type == "bpe":
        symbols = _read_lines(nlsyms_txt)
        pieces = _train(sentences, output_dir / "bpe.model", nbpe, bpemode, symbols)
        tokens = [_BLANK, _UNKNOWN, *pieces, _SOS_EOS]
        _write_lines(output_dir / "tokens.txt", tokens)
        return
    _count_tokens(sentences, output_dir / "tokens.txt", token_type, nlsyms_txt, cleaner)


def _transcripts(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise DSUError(f"{path} is missing, expected a Kaldi-style text")
    for line in _read_lines(path):
        yield line.partition(" ")[2].strip()


def _train(
    sentences: list[str], path: Path, nbpe: int, bpemode: str, symbols: list[str]
) -> list[str]:
    """Train a sentencepiece model; give its pieces without the special ones."""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=nbpe,
            model_type=bpemode,
            character_coverage=1.0,
            user_defined_symbols=symbols,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DSUError(
            f"sentencepiece could not train {nbpe} subwords; choose another number "
            f"(--nbpe): {error}"
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(processor.get_piece_size())
    return [
        processor.id_to_piece(i)
        for i in ids
        if not processor.is_control(i) and not processor.is_unknown(i)
    ]


def _count_tokens(
    sentences: list[str],
    path: Path,
    token_type: str,
    nlsyms_txt: str | Path | None,
    cleaner: str | None,
) -> None:
    from espnet2.bin.tokenize_text import tokenize

    with atomic_path(path) as temporary, tempfile.NamedTemporaryFile() as plain:
        Path(plain.name).write_text("".join(f"{s}\n" for s in sentences), "utf-8")
        tokenize(
            input=plain.name,
            output=str(temporary),
            field=None,
            delimiter=None,
            token_type=token_type,
            space_symbol="<space>",
            non_linguistic_symbols=None if nlsyms_txt is None else str(nlsyms_txt),
            bpemodel=None,
            log_level="INFO",
            write_vocabulary=True,
            vocabulary_size=0,
            remove_non_linguistic_symbols=False,
            cutoff=0,
            add_symbol=[f"{_BLANK}:0", f"{_UNKNOWN}:1", f"{_SOS_EOS}:-1"],
            cleaner=cleaner,
            g2p=None,
            add_nonsplit_symbol=[],
        )


def _read_lines(path: str | Path | None) -> list[str]:
    if path is None:
        return []
    return Path(path).read_text(encoding="utf-8").splitlines()


def _write_lines(path: Path, lines: list[str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
