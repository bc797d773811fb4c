import zipfile
from pathlib import Path

import pytest
import yaml

from espnet_dsu.hub.card import Facts, front_matter, model_card, sample_rate
from tests.hub.conftest import CONFIG

FACTS = Facts(license="apache-2.0", lang="en", corpus="digits")


@pytest.fixture
def card(archive):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    text = zipfile.ZipFile(archive).read("README.md").decode()
    return huggingface_hub.ModelCard(text)


def test_card_says_to_the_hub_what_the_model_is(card):
    data = card.data
    tags = {"espnet", "espnet_dsu", "audio", "automatic-speech-recognition"}
    assert set(data.tags) == tags
    assert data.library_name == "espnet"
    assert (data.license, data.language) == ("cc-by-4.0", ["en"])
    assert data.datasets == ["digits"]


def test_card_gives_the_hub_the_error_rates_of_each_set(card):
    found = {(r.dataset_split, r.metric_type): r for r in card.data.eval_results}
    assert found["test", "wer"].metric_value == 12.35
    assert found["test", "cer"].metric_value == 3.2
    assert {r.task_type for r in found.values()} == {"automatic-speech-recognition"}
    assert card.data.model_name == "model"


def test_card_shows_use_results_units_and_licence(card, archive):
    text = card.text
    for call in ('from_pretrained("model.zip")', "beam_size=3, ctc_weight=0.4)"):
        assert call in text
    assert "|d/test|30|81|" in text
    for fact in ("| upstream | `mfcc` |", "K = 20 |", "| unit pieces | 40 |"):
        assert fact in text
    assert "| frame shift | 10 ms |" in text
    assert "16000 Hz" in text and "\ncc-by-4.0\n" in text
    assert "@inproceedings{watanabe2018espnet" in text


def test_python_of_the_card_is_python(card):
    blocks = card.text.split("```python\n")[1:]
    assert len(blocks) == 2
    for block in blocks:
        compile(block.split("```")[0], "card", "exec")


def test_card_of_a_model_without_scores_has_no_empty_section(scored, tmp_path):
    for name in ("exp/asr/config.yaml", "exp/bundle"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(scored / name)
    card = model_card(tmp_path, CONFIG, FACTS, "me/x")
    assert "## Results" not in card and "model-index" not in card
    assert "`me/x@<commit>` stays" in card


def test_card_of_a_model_without_units_says_nothing_of_units(tmp_path):
    (tmp_path / "config.yaml").write_text("frontend: default\nfrontend_conf: {fs: 8k}")
    card = model_card(tmp_path, "config.yaml", FACTS, "me/x")
    assert "## Units" not in card and "8000 Hz" in card


def test_card_of_ctc_alone_says_why_stock_espnet_needs_its_weight(tmp_path):
    (tmp_path / "config.yaml").write_text("model_conf: {ctc_weight: 1.0}")
    facts = Facts("mit", "en", "x", decoding={"ctc_weight": 1.0})
    card = model_card(tmp_path, "config.yaml", facts, "me/x")
    assert "CTC alone" in card and 'from_pretrained("me/x", ctc_weight=1.0)' in card


@pytest.mark.parametrize(
    ("lang", "expected"),
    [
        ("en", ["en"]),
        ("en,es", ["en", "es"]),
        ("en jpn", ["en", "jpn"]),
        ("multilingual", ["multilingual"]),
        ("noinfo", None),
        ("en_us_ascii", None),
        ("", None),
    ],
)
def test_only_iso_languages_reach_the_hub(lang, expected):
    matter = front_matter(Path("nowhere"), Facts("mit", lang, ""), "me/x")
    assert matter.get("language") == expected
    assert "datasets" not in matter


@pytest.mark.parametrize("text", ["16k", "16000", 16000])
def test_sample_rate_is_read_as_espnet_writes_it(text):
    assert sample_rate(text) == 16000


def test_front_matter_is_plain_yaml(archive):
    text = zipfile.ZipFile(archive).read("README.md").decode()
    matter = yaml.safe_load(text.split("---\n")[1])
    assert None not in matter.values()
