"""Rescoring: by hand, and with a language model that was trained."""

from __future__ import annotations

import json
import math
import os

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.bin.rescore import main as rescore
from espnet_dsu.errors import DSUError
from espnet_dsu.inference.rescore import (
    LanguageModelScorer,
    Weights,
    choose,
    read_weights,
    tune,
)
from espnet_dsu.metrics.nbest import Hypothesis, read_nbest
from tests.asr_experiment import TOKENS, chdir

SCORES = st.floats(-50, 0)


def hypothesis(text: str, score: float) -> Hypothesis:
    tokens = tuple(text.split())
    return Hypothesis(text, tokens, tuple(map(TOKENS.index, tokens)), score)


# total = score + w * lm + b * tokens
LIST = [hypothesis("one two", -2.0), hypothesis("one", -2.5), hypothesis("", -9.0)]
LM = {(2, 3): -6.0, (2,): -3.0, (): -1.0}


@pytest.mark.parametrize(
    ("weight", "bonus", "best"),
    [
        (0, 0, 0),  # -2 -2.5 -9
        (0.1, 0, 0),  # -2.6 -2.8 -9.1
        (0.2, 0, 1),  # -3.2 -3.1 -9.2
        (0.2, 0.5, 0),  # -2.2 -2.6 -9.2
        (4, 0, 2),  # -26 -14.5 -13
        (0, -4, 1),  # -10 -6.5 -9
    ],
)
def test_choose_is_the_sum_made_by_hand(weight, bonus, best):
    assert choose(LIST, LM, Weights(weight, bonus)) == best


@given(st.lists(SCORES, min_size=1, max_size=5), st.data())
def test_choose_with_weight_0_is_the_first_of_the_best_scores(scores, data):
    scores = sorted(scores, reverse=True)
    hyps = [Hypothesis("", (), (i,), score) for i, score in enumerate(scores)]
    lm = {h.token_int: data.draw(SCORES | st.just(-math.inf)) for h in hyps}
    assert choose(hyps, lm, Weights(0.0, 0.0)) == 0


def test_tune_takes_the_fewest_errors_and_of_equals_the_first():
    lists = {"u": LIST, "v": [hypothesis("two", -1.0)]}
    scores = {**LM, (3,): -1.0}
    grid = [Weights(0, 0), Weights(0.2, 0), Weights(0.3, 0), Weights(4, 0)]
    refs = {"u": "one", "v": "two", "w": "three"}
    best, rates = tune(lists, scores, refs, grid)
    assert best == grid[1]
    # w has no hypothesis; 4 loses the word of u as well.
    assert rates == pytest.approx([200 / 3, 100 / 3, 100 / 3, 200 / 3])
    with pytest.raises(DSUError, match="hold no word"):
        tune(lists, scores, {"u": "", "v": ""}, grid)
    with pytest.raises(DSUError, match="have no reference: v"):
        tune(lists, scores, {"u": "one"}, grid)


@pytest.fixture(scope="module", params=["seq_rnn", "transformer"])
def lm(request, experiment, tmp_path_factory):
    """The folder of a language model over the tokens of the experiment."""
    from espnet2.bin import lm_train

    os.environ.setdefault("MPLBACKEND", "agg")
    folder = tmp_path_factory.mktemp(request.param)
    sizes = {"unit": 16, "nlayers": 1}
    if request.param == "transformer":
        sizes = {"embed_unit": 8, "att_unit": 16, "head": 2, "unit": 16, "layer": 1}
    config = {"lm": request.param, "lm_conf": sizes, "max_epoch": 1, "num_workers": 0}
    config |= {"batch_type": "sorted", "batch_size": 4, "optim": "adam"}
    (folder / "lm.yaml").write_text(yaml.safe_dump(config))
    options = ["--config", str(folder / "lm.yaml"), "--output_dir", str(folder)]
    options += ["--token_list", "data/tokens.txt", "--token_type", "word"]
    for part in ("train", "valid"):
        options += [f"--{part}_data_path_and_name_and_type", "data/text,text,text"]
        options += [f"--{part}_shape_file", "data/text_shape"]
    with chdir(experiment):
        lm_train.main(cmd=options)
    return folder


@pytest.fixture(scope="module")
def decoded(experiment, tmp_path_factory):
    """N-best lists of the experiment's recogniser."""
    from espnet_dsu.bin import asr_inference

    folder = tmp_path_factory.mktemp("decoded")
    with chdir(experiment):
        asr_inference.main(
            [
                *("--asr_train_config", "exp/asr/config.yaml", "--nbest", "4"),
                *("--asr_model_file", "exp/asr/valid.acc.ave.pth"),
                *("--output_dir", str(folder), "--beam_size", "4"),
                *("--maxlenratio", "-4", "--ctc_weight", "0.5"),
                *(
                    "--data_path_and_name_and_type",
                    "dump/units/units.scp,speech,dsu_unit",
                ),
            ]
        )
    return folder


def test_scores_are_those_of_the_model_one_by_one_in_any_batch(lm, decoded):
    scorer = LanguageModelScorer(None, lm / "1epoch.pth")
    lists = read_nbest(decoded)
    assert max(map(len, lists.values())) > 1
    by_batch = [scorer.score_lists(lists, size) for size in (1, 3, 64)]
    for tokens, score in by_batch[0].items():
        with torch.no_grad():
            # The stepwise interface of the beam search, which shares no code with it.
            model, state, expected = scorer.model.lm, None, 0.0
            history = [scorer.model.sos]
            for token in [*tokens, scorer.model.eos]:
                prefix = torch.tensor(history)
                logp, state = model.score(prefix, state, torch.zeros(1, 1))
                expected += float(logp[token])
                history.append(token)
        assert score == pytest.approx(expected, abs=1e-4)
        for other in by_batch[1:]:
            assert other[tokens] == pytest.approx(score, abs=1e-4)


def run(decoded, lm, output_dir, *options):
    rescore(
        [
            *("--nbest_dir", str(decoded), "--output_dir", str(output_dir)),
            *("--lm_file", str(lm / "1epoch.pth"), *options),
        ]
    )
    return (output_dir / "text").read_text()


def test_command_with_weight_0_gives_the_files_of_espnets_best(lm, decoded, tmp_path):
    run(decoded, lm, tmp_path, "--lm_weights", "0", "--length_bonuses", "0")
    for name in ("text", "token", "token_int", "score"):
        lines = (decoded / "1best_recog" / name).read_text().splitlines()
        assert (tmp_path / name).read_text().splitlines() == sorted(lines), name


def test_command_tunes_on_one_set_and_reads_the_weights_for_another(
    experiment, lm, decoded, tmp_path
):
    grid = ["--lm_weights", "0", "5", "--length_bonuses", "0", "30"]
    reference = str(experiment / "data" / "text")
    first = run(decoded, lm, tmp_path / "valid", *grid, "--tune_ref", reference)
    found = json.loads((tmp_path / "valid" / "weights.json").read_text())
    assert found["lm_weight"] in (0, 5) and found["length_bonus"] in (0, 30)
    weights = str(tmp_path / "valid" / "weights.json")
    assert run(decoded, lm, tmp_path / "test", "--weights", weights) == first
    assert vars(read_weights(tmp_path / "test" / "weights.json")) == found


def test_command_bonus_for_tokens_makes_texts_longer(lm, decoded, tmp_path):
    few, many = (
        run(decoded, lm, tmp_path / b, "--lm_weights", "0", "--length_bonuses", b)
        for b in ("-100", "100")
    )
    assert len(few.split()) < len(many.split())


def test_command_with_a_grid_and_no_reference_says_what_to_give(lm, decoded, tmp_path):
    with pytest.raises(DSUError, match="28 pairs of weights.*--tune_ref"):
        run(decoded, lm, tmp_path)
    with pytest.raises(DSUError, match="weights.json of a rescoring"):
        run(decoded, lm, tmp_path, "--weights", str(tmp_path / "none"))


def test_language_model_of_other_tokens_is_refused(lm, decoded, tmp_path):
    config = yaml.safe_load((lm / "config.yaml").read_text())
    config["token_list"][2:4] = reversed(config["token_list"][2:4])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    options = ("--lm_train_config", str(tmp_path / "config.yaml"))
    with pytest.raises(DSUError, match="of the hypotheses is '.*recogniser's token"):
        run(decoded, lm, tmp_path, *options, "--weights", "x")


def test_shallow_fusion_changes_scores_and_weight_0_does_not(experiment, lm):
    from espnet_dsu import Speech2Text
    from espnet_dsu.units import UnitReader

    with chdir(experiment):
        units = UnitReader("dump/units/units.scp")["utt2"]
        files = {"asr_model_file": "exp/asr/valid.acc.ave.pth"}
        lm_files = {"lm_train_config": lm / "config.yaml", "lm_file": lm / "1epoch.pth"}
        scores = [
            float(Speech2Text(**files, **more, beam_size=4)(units)[0][3].score)
            for more in (
                {},
                {**lm_files, "lm_weight": 0.0},
                {**lm_files, "lm_weight": 1.0},
            )
        ]
    assert scores[0] == scores[1] > scores[2]


def test_ngram_fusion_changes_scores(experiment, tmp_path):
    pytest.importorskip("kenlm", reason="ESPnet's n-gram scorer needs it")
    from espnet_dsu import Speech2Text
    from espnet_dsu.units import UnitReader

    words = ["<unk>", "<s>", "</s>", "one", "two", "three"]
    lines = "".join(f"-{n}.5\t{word}\n" for n, word in enumerate(words))
    arpa = f"\\data\\\nngram 1={len(words)}\n\n\\1-grams:\n{lines}\n\\end\\\n"
    (tmp_path / "1gram.arpa").write_text(arpa)
    with chdir(experiment):
        units = UnitReader("dump/units/units.scp")["utt2"]
        plain, fused = (
            Speech2Text(asr_model_file="exp/asr/valid.acc.ave.pth", beam_size=4, **more)
            for more in ({}, {"ngram_file": str(tmp_path / "1gram.arpa")})
        )
        assert float(plain(units)[0][3].score) > float(fused(units)[0][3].score)
