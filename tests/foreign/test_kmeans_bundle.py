"""k-means of ESPnet become bundles with the same units, and back."""

from __future__ import annotations

import sys

import joblib
import numpy as np
import pytest
import torch
import yaml
from sklearn.cluster import MiniBatchKMeans

from espnet_dsu import UnitTokenizer
from espnet_dsu.bin.convert_kmeans import main as convert_kmeans
from espnet_dsu.errors import DSUError
from espnet_dsu.foreign.kmeans_bundle import export_kmeans, import_kmeans
from espnet_dsu.upstream import build_upstream
from tests.foreign.test_kmeans_file import ESPNET
from tests.speech import voice

WAVS = [voice(2.0, seed) for seed in range(5)]


def frames_of(wav):
    upstream = build_upstream("mfcc")
    return upstream.frames(torch.tensor(wav)[None], torch.tensor([len(wav)]))[0][0]


@pytest.fixture(scope="module")
def trained():
    """A k-means as ESPnet's stage 2 makes it, of real frames."""
    np.random.seed(0)
    frames = np.concatenate([frames_of(wav).numpy() for wav in WAVS])
    return MiniBatchKMeans(30, **ESPNET).fit(frames)


def apply_kmeans(model, frames):
    """Label frames by the distances that ESPnet and fairseq compute."""
    centers = model.cluster_centers_.T
    products = frames @ centers
    norms = (frames**2).sum(1, keepdims=True)
    return (norms - 2 * products + (centers**2).sum(0, keepdims=True)).argmin(1)


def test_import_kmeans_units_are_those_of_sklearn_and_espnet(tmp_path, trained):
    joblib.dump(trained, tmp_path / "km_30.mdl")
    options = ["--kmeans", str(tmp_path / "km_30.mdl"), "--upstream", "mfcc"]
    convert_kmeans([*options, "--output", str(tmp_path / "mfcc_km30")])
    tokenizer = UnitTokenizer.from_pretrained(tmp_path / "mfcc_km30")
    assert tokenizer.spec.tag == "mfcc_km30" and tokenizer.spec.vocab_size == 30
    units, predicted, labels = [], [], []
    for wav in [*WAVS, voice(3.0, 99)]:
        frames = frames_of(wav).numpy()
        units.append(tokenizer.encode(wav, 16000).units)
        predicted.append(trained.predict(frames))
        labels.append(apply_kmeans(trained, frames))
    assert sum(map(len, units)) > 1000
    for other in (predicted, labels):
        agreed = np.concatenate(units) == np.concatenate(other)
        assert agreed.mean() >= 0.999


def test_import_kmeans_says_where_it_comes_from(tmp_path, trained):
    path = tmp_path / "km_30.mdl"
    joblib.dump(trained, path)
    made = import_kmeans(path, "mfcc", tmp_path / "bundle")
    source = yaml.safe_load((tmp_path / "bundle" / "source.yaml").read_text())
    assert source["file"] == "km_30.mdl" and len(source["sha256"]) == 64
    assert source["kind"] == "sklearn.cluster._kmeans.MiniBatchKMeans"
    np.save(tmp_path / "km.npy", trained.cluster_centers_)
    same = import_kmeans(tmp_path / "km.npy", "mfcc", tmp_path / "other")
    assert made.fingerprint == same.fingerprint
    conf = {"cmvn": "none"}
    another = import_kmeans(path, "mfcc", tmp_path / "another", conf)
    assert another.fingerprint != made.fingerprint


def test_import_kmeans_of_another_size_says_so(tmp_path, trained):
    np.save(tmp_path / "t.npy", trained.cluster_centers_.T)
    with pytest.raises(DSUError, match=r"size 30 \(they are transposed\).* size 39"):
        import_kmeans(tmp_path / "t.npy", "mfcc", tmp_path / "bundle")
    np.save(tmp_path / "s.npy", trained.cluster_centers_[:, :13])
    with pytest.raises(DSUError, match="30 centroids of size 13, but frames of mfcc"):
        import_kmeans(tmp_path / "s.npy", "mfcc", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["km.npy", "km.mdl", "km.joblib"])
def test_export_kmeans_gives_the_same_bundle_back(tmp_path, trained, name):
    np.save(tmp_path / "given.npy", trained.cluster_centers_)
    made = import_kmeans(tmp_path / "given.npy", "mfcc", tmp_path / "bundle")
    options = ["--tokenizer", str(tmp_path / "bundle")]
    convert_kmeans([*options, "--output", str(tmp_path / name)])
    back = import_kmeans(tmp_path / name, "mfcc", tmp_path / "back")
    assert back.fingerprint == made.fingerprint


def test_export_kmeans_works_in_espnet_and_textlesslib(tmp_path, trained):
    np.save(tmp_path / "given.npy", trained.cluster_centers_)
    tokenizer = import_kmeans(tmp_path / "given.npy", "mfcc", tmp_path / "bundle")
    export_kmeans(tmp_path / "bundle", tmp_path / "km.mdl")
    model = joblib.load(tmp_path / "km.mdl")
    frames = frames_of(WAVS[0])
    units = tokenizer.quantizer.assign(frames)[:, 0].numpy()
    assert np.array_equal(apply_kmeans(model, frames.numpy()), units)
    assert np.array_equal(model.predict(frames.numpy()), units)


def test_export_kmeans_without_sklearn_says_what_to_do(tmp_path, trained, monkeypatch):
    np.save(tmp_path / "given.npy", trained.cluster_centers_)
    import_kmeans(tmp_path / "given.npy", "mfcc", tmp_path / "bundle")
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(DSUError, match="pip install scikit-learn.*or write .npy"):
        export_kmeans(tmp_path / "bundle", tmp_path / "km.mdl")
    assert not (tmp_path / "km.mdl").exists()
    export_kmeans(tmp_path / "bundle", tmp_path / "km.npy")


def test_convert_kmeans_without_upstream_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="--kmeans needs --upstream"):
        convert_kmeans(["--kmeans", "x", "--output", "y"])
