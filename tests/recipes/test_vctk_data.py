"""egs2/vctk/voc1/local: data preparation, on miniatures of both versions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from espnet_dsu.corpus.datadir import validate
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import read_scp
from tests.recipes.harness import ROOT, environment
from tests.recipes.local_modules import importable
from tests.recipes.vctk_corpus import WORDS, make_vctk

RECIPE = ROOT / "egs2/vctk/voc1"
SMALL = ("--partial", "true", "--num_dev", "1", "--num_eval", "2")


@pytest.fixture(autouse=True)
def local_modules() -> Iterator[None]:
    """Make the recipe's own modules importable, for this module only."""
    with importable(RECIPE / "local"):
        yield


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both versions; not to be changed."""
    root = tmp_path_factory.mktemp("vctk")
    return {v: make_vctk(root / v, v) for v in ("0.92", "0.80")}


@pytest.fixture
def own_corpus(corpora: dict[str, Path], tmp_path: Path) -> Path:
    """Version 0.92, which the test may damage."""
    return Path(shutil.copytree(corpora["0.92"], tmp_path / "corpus"))


def prepare(data: Path, corpus: Path, *options: str) -> Path:
    """Prepare data; return the folder of the sets."""
    import vctk_data

    vctk_data.main(["--corpus", str(corpus), "--data_dir", str(data), *options])
    return data


@pytest.mark.parametrize("version, ending", [("0.92", "_mic1.flac"), ("0.80", ".wav")])
def test_data_sets_are_espnets_last_dev_before_it_eval_of_each_speaker(
    tmp_path: Path, corpora: dict[str, Path], version: str, ending: str
) -> None:
    data = prepare(tmp_path, corpora[version], *SMALL)
    wanted = {"tr_no_dev": [1], "eval1": [2, 3], "dev": [4]}
    assert {path.name for path in data.iterdir()} == wanted.keys()
    for name, numbers in wanted.items():
        validate(data / name)
        speakers = read_scp(data / name / "utt2spk")
        texts = read_scp(data / name / "text")
        wavs = read_scp(data / name / "wav.scp")
        assert list(wavs) == [
            f"{spk}_{n:03d}" for spk in ("p225", "p280", "p362") for n in numbers
        ]
        for utt, wav in wavs.items():
            speaker, number = utt.split("_")
            assert Path(wav).name == utt + ending and Path(wav).is_file()
            assert speakers[utt] == Path(wav).parent.name == speaker
            assert texts[utt] == WORDS[int(number) % len(WORDS)]


def test_data_second_microphone_leaves_out_the_speaker_without(
    tmp_path: Path, corpora: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    data = prepare(tmp_path, corpora["0.92"], *SMALL, "--mic", "mic2")
    wavs = read_scp(data / "dev/wav.scp")
    assert list(wavs) == ["p225_004", "p362_004"]
    assert all(wav.endswith("_mic2.flac") for wav in wavs.values())
    assert "without p280, p315" in caplog.text
    with pytest.raises(DSUError, match="has mic1 only, not --mic mic2"):
        prepare(tmp_path, corpora["0.80"], *SMALL, "--mic", "mic2")


def test_data_incomplete_corpus_is_refused_unless_partial(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    with pytest.raises(DSUError, match=r"4 speakers p\*, expected 109.*--partial true"):
        prepare(tmp_path / "data", corpora["0.92"])
    assert not (tmp_path / "data").exists()


def test_data_few_texts_without_audio_are_left_out_many_are_refused(
    tmp_path: Path,
    corpora: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import vctk_data

    monkeypatch.setattr(vctk_data, "NUM_SPEAKERS", 4)
    sizes = ("--num_dev", "1", "--num_eval", "2")
    with pytest.raises(DSUError, match=r"1 lack one of both \(p362_999: no audio\)"):
        prepare(tmp_path / "data", corpora["0.92"], *sizes)
    monkeypatch.setattr(vctk_data, "TOLERATED", 0.1)
    data = prepare(tmp_path / "data", corpora["0.92"], *sizes)
    assert len(read_scp(data / "tr_no_dev/text")) == 3
    assert "p362_999: no audio); these are left out" in caplog.text


def test_data_speaker_with_too_few_utterances_is_named(
    tmp_path: Path, own_corpus: Path
) -> None:
    (own_corpus / "VCTK-Corpus-0.92/txt/p280/p280_001.txt").unlink()
    with pytest.raises(DSUError, match="3 utterances of p280 cannot be split into 2"):
        prepare(tmp_path / "data", own_corpus, *SMALL)
    assert not (tmp_path / "data").exists()


def test_data_text_that_is_not_utf8_is_named(tmp_path: Path, own_corpus: Path) -> None:
    bad = own_corpus / "VCTK-Corpus-0.92/txt/p280/p280_002.txt"
    bad.write_bytes(b"caf\xe9")
    with pytest.raises(DSUError, match="p280_002.txt: not UTF-8"):
        prepare(tmp_path / "data", own_corpus, *SMALL)


def test_data_folder_of_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DSUError, match="correct VCTK in db.sh"):
        prepare(tmp_path / "data", tmp_path, *SMALL)


def test_data_archive_without_a_folder_at_its_top_is_unpacked(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    """The published zip is like that."""
    archive = shutil.make_archive(
        str(tmp_path / "vctk"), "zip", corpora["0.92"] / "VCTK-Corpus-0.92"
    )
    options = ("--download_dir", str(tmp_path / "downloads"), *SMALL)
    data = prepare(tmp_path / "data", Path(archive), *options)
    assert len(read_scp(data / "eval1/text")) == 6


def test_data_sh_takes_the_corpus_of_db_sh(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    done = subprocess.run(
        ["local/data.sh", "--data_dir", str(tmp_path / "data"), *SMALL],
        cwd=RECIPE,
        env=environment({"VCTK": str(corpora["0.92"])}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    validate(tmp_path / "data/tr_no_dev")
