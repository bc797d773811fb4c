import pytest
import sentencepiece

from espnet_dsu import DSUError
from espnet_dsu.bin import make_token_list


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_text("a one two three\nb two <noise>\nc\nd three three two\n")
    return path


def run(text, tmp_path, *options):
    out = tmp_path / "out"
    make_token_list.main(["--text", str(text), "--output_dir", str(out), *options])
    return (out / "tokens.txt").read_text().splitlines()


def test_words_frequent_first_between_espnets_symbols(text, tmp_path):
    tokens = run(text, tmp_path, "--token_type", "word")
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert set(tokens[2:4]) == {"two", "three"}
    assert set(tokens[4:-1]) == {"one", "<noise>"}


def test_characters_with_symbols_kept_whole(text, tmp_path):
    (tmp_path / "symbols").write_text("<noise>\n")
    options = ["--token_type", "char", "--nlsyms_txt", str(tmp_path / "symbols")]
    tokens = run(text, tmp_path, *options)
    assert "<space>" in tokens and "<noise>" in tokens and "e" in tokens
    assert len(tokens) == len(set(tokens))


def test_subwords_are_those_of_the_model_without_its_own_symbols(text, tmp_path):
    tokens = run(text, tmp_path, "--token_type", "bpe", "--nbpe", "16")
    model = str(tmp_path / "out" / "bpe.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    assert tokens == ["<blank>", "<unk>", *pieces[3:], "<sos/eos>"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", ["--token_type", "word"], "no text"),
        ("a\n", ["--token_type", "char"], "no text"),
        ("a one\n", ["--token_type", "bpe", "--nbpe", "5000"], "--nbpe"),
    ],
)
def test_too_little_text_is_an_error_and_leaves_nothing(
    tmp_path, content, options, message
):
    path = tmp_path / "text"
    path.write_text(content)
    with pytest.raises(DSUError, match=message):
        run(path, tmp_path, *options)
    assert not list(tmp_path.glob("out/*"))


def test_missing_text_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="is missing"):
        run(tmp_path / "none", tmp_path, "--token_type", "word")
