"""A decoded set, from text files to metrics.json and RESULTS.md, by command line."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from espnet_dsu.bin.compare_results import main as compare
from espnet_dsu.bin.score import main as score
from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.error_rate import word_tokenizer
from espnet_dsu.metrics.report import compare_experiments, write_results_md
from espnet_dsu.metrics.sclite import find_sclite
from espnet_dsu.metrics.scoring import score_texts
from espnet_dsu.metrics.store import merge_entry
from espnet_dsu.token_list import make_token_list
from espnet_dsu.units import UnitSpec, write_units
from espnet_dsu.units.pieces import UnitPieces

REF = {"a": "one two three", "b": "four five", "c": "", "d": "six"}
HYP = {"a": "one too three four", "b": "five", "c": "x"}
needs_sclite = pytest.mark.skipif(find_sclite() is None, reason="sclite is missing")


def train_subwords(folder: Path) -> str:
    (folder / "train").write_text("".join(f"{u} {t}\n" for u, t in REF.items() if t))
    make_token_list([folder / "train"], folder / "tokens", nbpe=19)
    return str(folder / "tokens" / "bpe.model")


def write_text(path: Path, texts: dict[str, str]) -> str:
    path.write_text("".join(f"{utt} {text}\n" for utt, text in texts.items()))
    return str(path)


def run_score(tmp_path: Path, *options: str, hyp=HYP, exp="x", decode="greedy") -> dict:
    exp_dir = tmp_path / "exp" / exp
    score(
        [
            *("--ref", write_text(tmp_path / "ref", REF)),
            *("--hyp", write_text(tmp_path / "hyp", hyp)),
            *("--output_dir", str(exp_dir / decode / "test"), "--set_name", "test"),
            *("--metrics_json", str(exp_dir / "metrics.json"), *options),
        ]
    )
    return json.loads((exp_dir / "metrics.json").read_text())


@pytest.mark.parametrize("use_sclite", ["true", "false"])
def test_score_set_gives_the_counts_with_or_without_sclite(tmp_path, use_sclite):
    entry = run_score(tmp_path, "--use_sclite", use_sclite)["test"]
    assert (entry["sub"], entry["del"], entry["ins"]) == (1, 2, 2)
    assert (entry["num_utts"], entry["num_words"], entry["num_missing"]) == (4, 6, 1)
    assert entry["wer"] == pytest.approx(500 / 6, abs=1e-4)
    assert entry["wer_ci"][0] <= entry["wer"] <= entry["wer_ci"][1]
    assert entry["num_chars"] == len("one two three") + len("four five") + len("six")
    assert entry["decode"] == "greedy" and "ter" not in entry
    for kind in ("wer", "cer"):
        directory = tmp_path / f"exp/x/greedy/test/score_{kind}"
        assert {path.name for path in directory.iterdir()} == {
            "ref.trn",
            "hyp.trn",
            "result.txt",
        }
        assert "Sum/Avg" in (directory / "result.txt").read_text()


def test_score_perfect_hypotheses_have_no_error(tmp_path):
    entry = run_score(tmp_path, hyp=REF)["test"]
    assert entry["wer"] == entry["cer"] == entry["ser"] == 0
    assert entry["wer_ci"] == entry["cer_ci"] == [0, 0]


def test_score_results_md_has_espnets_tables(tmp_path):
    run_score(tmp_path, "--extra", "bitrate=410.5")
    text = (tmp_path / "exp/x/RESULTS.md").read_text()
    head, *rest = text.split("### ")
    assert "## Environments" in head and f"## {tmp_path / 'exp/x'}" in head
    assert [part.splitlines()[0] for part in rest] == ["WER", "CER", "Other"]
    assert "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|" in text
    assert "|greedy/test|4|6|50.0|16.7|33.3|33.3|83.3|100.0|[" in text
    assert "|greedy/test|410.5|" in text


def test_score_again_replaces_rates_and_keeps_other_metrics(tmp_path):
    model = ["--bpemodel", train_subwords(tmp_path)]
    first = run_score(tmp_path, "--extra", "bitrate=1", "pnmi=0.5", *model)["test"]
    assert first["num_tokens"] > first["num_words"] and first["pnmi"] == 0.5
    assert first["ter"] > 0
    metrics = run_score(tmp_path, "--extra", "bitrate=2", hyp=REF)
    assert list(metrics) == ["test"]
    again = metrics["test"]
    assert (again["bitrate"], again["pnmi"], again["wer"]) == (2, 0.5, 0)
    assert "ter" not in again and "num_tokens" not in again


def test_score_second_decoding_has_a_key_of_its_own(tmp_path):
    run_score(tmp_path)
    run_score(tmp_path, decode="beam", hyp=REF)
    metrics = run_score(tmp_path)
    assert list(metrics) == ["test", "beam/test"]
    assert metrics["test"]["wer"] > metrics["beam/test"]["wer"] == 0
    text = (tmp_path / "exp/x/RESULTS.md").read_text()
    assert text.count("|greedy/test|") == text.count("|beam/test|") == 2


def test_score_decode_name_option_overrules_the_directory(tmp_path):
    assert run_score(tmp_path, "--decode_name", "q")["test"]["decode"] == "q"


def test_score_symbols_and_cleaner_apply_before_counting(tmp_path):
    pytest.importorskip("tacotron_cleaner", reason="of ESPnet's TTS frontend")
    (tmp_path / "nlsyms").write_text("four\n\n")
    options = ["--nlsyms_txt", str(tmp_path / "nlsyms"), "--hyp_cleaner", "tacotron"]
    entry = run_score(tmp_path, *options, hyp={**REF, "d": "six!"})["test"]
    assert entry["num_words"] == 5
    assert entry["sub"] == 1  # the cleaner writes SIX!, and keeps the mark


@pytest.mark.parametrize(
    "options, hyp, message",
    [
        (["--bpemodel", "/none/such"], HYP, "a sentencepiece model"),
        (["--nbest_dir", "/none/such"], HYP, "no 1best_recog"),
        (["--nlsyms_txt", "/none/such"], HYP, "a file of symbols"),
        (["--extra", "bitrate"], HYP, "'bitrate', expected a name and a number"),
        ([], {"z": "x"}, "1 hypotheses have no reference: z"),
    ],
)
def test_score_bad_input_writes_no_metrics(tmp_path, options, hyp, message):
    with pytest.raises(DSUError, match=message):
        run_score(tmp_path, *options, hyp=hyp)
    assert not (tmp_path / "exp/x/metrics.json").exists()


def test_score_subwords_are_those_of_the_model(tmp_path):
    model = train_subwords(tmp_path)
    entry = run_score(tmp_path, "--bpemodel", model)["test"]
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    pieces = {utt: processor.encode(text, out_type=str) for utt, text in REF.items()}
    assert entry["num_tokens"] == sum(map(len, pieces.values()))
    trn = (tmp_path / "exp/x/greedy/test/score_ter/ref.trn").read_text()
    assert " ".join(pieces["a"]) in trn
    assert "### TER" in (tmp_path / "exp/x/RESULTS.md").read_text()
    assert run_score(tmp_path, "--bpemodel", model, hyp=REF)["test"]["ter"] == 0


def test_score_lists_of_several_give_the_oracle(tmp_path):
    for rank, hyps in ((1, HYP), (2, {"a": "one two three", "c": ""})):
        for name in ("text", "token"):
            (tmp_path / f"{rank}best_recog").mkdir(exist_ok=True)
            write_text(tmp_path / f"{rank}best_recog" / name, hyps)
        for name in ("token_int", "score"):
            numbers = {utt: "1" for utt in hyps}
            write_text(tmp_path / f"{rank}best_recog" / name, numbers)
    options = ("--nbest_dir", str(tmp_path))
    entry = run_score(tmp_path, *options)["test"]
    # Of 6 words, b lacks one and d is missing; a and c have a perfect second best.
    assert entry["oracle_wer"] == pytest.approx(200 / 6, abs=1e-4)
    assert "|oracle_wer|" in (tmp_path / "exp/x/RESULTS.md").read_text()
    shutil.rmtree(tmp_path / "2best_recog")
    assert "oracle_wer" not in run_score(tmp_path, *options)["test"]


def test_score_utterance_twice_is_refused(tmp_path):
    run_score(tmp_path)
    (tmp_path / "twice").write_text("a 1\na 2\n")
    with pytest.raises(DSUError, match="duplicate id 'a'"):
        run_score(tmp_path, "--hyp", str(tmp_path / "twice"))


@needs_sclite
def test_score_texts_sclite_markup_is_logged_with_both_counts(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        counts = score_texts(
            {"a": "x @ y"}, {"a": "x y"}, word_tokenizer(), tmp_path, find_sclite(), {}
        )
    assert counts.sums() == (2, 0, 1, 0)
    assert "(2, 0, 0, 0)" in caplog.text and "(2, 0, 1, 0)" in caplog.text


def test_merge_entry_damaged_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "metrics.json"
    for damage in ("{", "[1]", '{"test": 3}'):
        path.write_text(damage)
        with pytest.raises(DSUError, match="metrics.json"):
            merge_entry(path, "test", {"decode": "d"})
        assert path.read_text() == damage


def test_merge_entry_beside_other_metrics_keeps_the_plain_key(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"test": {"bitrate": 7.5}}')
    assert merge_entry(path, "test", {"decode": "d", "wer": 1.0}) == "test"
    assert json.loads(path.read_text()) == {
        "test": {"decode": "d", "wer": 1.0, "bitrate": 7.5}
    }


def test_compare_experiments_units_and_fbank_stand_in_one_table(tmp_path, capsys):
    run_score(tmp_path, "--extra", "bitrate=410", exp="units")
    run_score(tmp_path, exp="fbank", hyp=REF)
    exps = [str(tmp_path / "exp" / name) for name in ("units", "fbank")]
    compare([*exps, "--output", str(tmp_path / "RESULTS.md")])
    table = capsys.readouterr().out.strip()
    head, _, units, fbank = table.splitlines()
    assert head == "|dataset|experiment|WER % [95 %]|CER % [95 %]|bitrate|"
    assert units.startswith(f"|test|{exps[0]}|83.33 [") and units.endswith("|410|")
    assert fbank == f"|test|{exps[1]}|0.00 [0.00, 0.00]|0.00 [0.00, 0.00]|-|"
    assert table in (tmp_path / "RESULTS.md").read_text()


@pytest.mark.parametrize("make", [write_results_md, lambda d: compare_experiments([d])])
def test_reports_without_metrics_say_what_is_missing(tmp_path, make):
    with pytest.raises(DSUError, match="cannot read .*metrics.json.*scoring stage"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_score_units_give_the_bitrates(tmp_path):
    spec = UnitSpec("t", (256,), frame_shift=160, sample_rate=16000, fingerprint="f")
    units = {"a": np.array([3, 3, 3, 0, 0]), "b": np.array([7, 7, 7, 7, 1])}
    write_units(tmp_path / "units", units.items(), spec)
    runs = [np.array([3, 0]), np.array([7, 1])] * 20
    pieces = UnitPieces.train(runs, 256, 300)
    (tmp_path / "bpe.model").write_bytes(pieces.model)
    options = ["--units", str(tmp_path / "units")]
    entry = run_score(tmp_path, *options)["test"]
    # 4 runs of 8 bits in 10 frames of 10 ms; units differ, durations are 3, 2, 4, 1.
    assert (entry["bitrate"], entry["bitrate_coded"]) == (320, 160)
    assert "bitrate_pieces" not in entry
    options += ["--unit_pieces", str(tmp_path / "bpe.model")]
    entry = run_score(tmp_path, *options)["test"]
    read = sum(len(pieces.encode(run)) for run in runs[:2])
    bits = read * np.log2(len(pieces)) / 0.1
    assert entry["bitrate_pieces"] == pytest.approx(bits, abs=0.01)
    text = (tmp_path / "exp/x/RESULTS.md").read_text()
    assert "|dataset|bitrate|bitrate_pieces|bitrate_coded|" in text


def test_score_units_of_streams_give_the_bitrate_of_each(tmp_path):
    spec = UnitSpec("t", (4, 256), frame_shift=160, sample_rate=16000, fingerprint="f")
    units = {"a": np.array([[3, 7], [3, 7], [3, 8], [0, 8], [0, 8]])}
    write_units(tmp_path / "units", units.items(), spec)
    entry = run_score(tmp_path, "--units", str(tmp_path / "units"))["test"]
    # 3 runs of 2 + 8 bits in 5 frames of 10 ms.
    assert (entry["bitrate_stream0"], entry["bitrate_stream1"]) == (120, 480)
    assert entry["bitrate"] == 600
    text = (tmp_path / "exp/x/RESULTS.md").read_text()
    assert "|dataset|bitrate|bitrate_stream0|bitrate_stream1|bitrate_coded|" in text


def test_score_unit_pieces_that_cannot_be_read_are_named(tmp_path):
    spec = UnitSpec("t", (4,), frame_shift=160, sample_rate=16000, fingerprint="f")
    write_units(tmp_path / "units", [("a", np.array([1]))], spec)
    path = tmp_path / "bpe.model"
    options = ["--units", str(tmp_path / "units"), "--unit_pieces", str(path)]
    for content in (None, b"no model"):
        if content:
            path.write_bytes(content)
        with pytest.raises(DSUError, match="bpe.model, a model of pieces"):
            run_score(tmp_path, *options)
