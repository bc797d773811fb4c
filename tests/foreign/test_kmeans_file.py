"""Centroids come out of k-means files as scikit-learn, numpy and torch wrote them."""

from __future__ import annotations

import io
import os
import pickle
import sys
import types
import warnings

import joblib
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans

from espnet_dsu.errors import DSUError
from espnet_dsu.foreign.kmeans_file import read_centroids

FRAMES = np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32)
CENTROIDS = FRAMES[:6]
# Of ESPnet's and fairseq's learn_kmeans.py.
ESPNET = {
    "init": "k-means++",
    "max_iter": 100,
    "batch_size": 10000,
    "verbose": 0,
    "compute_labels": False,
    "tol": 0.0,
    "max_no_improvement": 100,
    "init_size": None,
    "n_init": 20,
    "reassignment_ratio": 0.0,
}
MODELS = {
    "espnet": lambda: MiniBatchKMeans(6, **ESPNET).fit(FRAMES),
    "lloyd": lambda: KMeans(6, n_init=1, random_state=0).fit(FRAMES),
    "float64": lambda: KMeans(6, n_init=1).fit(FRAMES.astype(np.float64)),
    "generator": lambda: KMeans(6, random_state=np.random.RandomState(1)).fit(FRAMES),
    "partial": lambda: MiniBatchKMeans(6).partial_fit(FRAMES),
}
COMPRESSIONS = [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)]


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[request.param]()


def check(path, model):
    found = read_centroids(path)
    assert found.values.dtype == np.float32 and found.values.flags.c_contiguous
    assert np.array_equal(found.values, model.cluster_centers_.astype(np.float32))
    assert found.kind == f"sklearn.cluster._kmeans.{type(model).__name__}"


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_read_centroids_of_joblib_are_those_of_the_model(tmp_path, model, compress):
    joblib.dump(model, tmp_path / "km.mdl", compress=compress)
    check(tmp_path / "km.mdl", model)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_read_centroids_of_every_protocol_are_the_same(tmp_path, model, protocol):
    path = tmp_path / "km.bin"
    joblib.dump(model, path, protocol=protocol)
    check(path, model)
    path.write_bytes(pickle.dumps(model, protocol))
    check(path, model)


def test_read_centroids_of_old_joblib_and_sklearn(tmp_path, monkeypatch):
    class Unaligned(io.BytesIO):
        """Without a position joblib writes no padding, as it did before 1.2."""

        def tell(self):
            raise io.UnsupportedOperation

    # Where scikit-learn before 0.22 had the class, and before 0.21 its own joblib.
    for module, name in (
        ("sklearn.cluster.k_means_", MiniBatchKMeans),
        (
            "sklearn.externals.joblib.numpy_pickle",
            joblib.numpy_pickle.NumpyArrayWrapper,
        ),
    ):
        for depth in range(2, module.count(".") + 2):
            parent = ".".join(module.split(".")[:depth])
            monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
        setattr(sys.modules[module], name.__name__, name)
        monkeypatch.setattr(name, "__module__", module)
    model = MiniBatchKMeans(6, n_init=1).fit(FRAMES)
    file = Unaligned()
    joblib.dump(model, file)
    (tmp_path / "km.bin").write_bytes(file.getvalue())
    found = read_centroids(tmp_path / "km.bin")
    assert np.array_equal(found.values, model.cluster_centers_)
    assert found.kind == "sklearn.cluster.k_means_.MiniBatchKMeans"


def test_read_centroids_of_arrays_in_every_format(tmp_path):
    tensor = torch.from_numpy(CENTROIDS)
    np.save(tmp_path / "a.npy", CENTROIDS)
    np.save(tmp_path / "b.bin", np.asfortranarray(CENTROIDS, dtype=">f8"))
    torch.save(tensor, tmp_path / "c.pt")
    torch.save(
        {"cluster_centers_": tensor, "n": 6, "inertia": torch.ones(1)},
        tmp_path / "d.pt",
    )
    torch.save(
        tensor.requires_grad_(), tmp_path / "e.pt", _use_new_zipfile_serialization=False
    )
    save_file(
        {"centroids": CENTROIDS, "counts": np.ones(6)}, tmp_path / "f.safetensors"
    )
    joblib.dump({"centers": CENTROIDS, "n": 6}, tmp_path / "g")
    joblib.dump(CENTROIDS, tmp_path / "h", compress=3)
    kinds = []
    for path in sorted(tmp_path.iterdir()):
        found = read_centroids(path)
        assert np.array_equal(found.values, CENTROIDS), path
        assert found.values.dtype == np.float32
        kinds.append(found.kind)
    expected = ["npy"] * 2 + ["torch"] * 3 + ["safetensors", "dict", "array"]
    assert kinds == expected


def test_read_centroids_key_chooses_among_several(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": CENTROIDS, "b": FRAMES}, path)
    with pytest.raises(DSUError, match=r"a \(6, 5\), b \(300, 5\).*name it with --key"):
        read_centroids(path)
    assert np.array_equal(read_centroids(path, "a").values, CENTROIDS)
    with pytest.raises(DSUError, match=r"expected an array 'c' \(K, D\)"):
        read_centroids(path, "c")


def test_read_centroids_other_models_are_refused_by_name(tmp_path):
    path = tmp_path / "km"
    joblib.dump(BisectingKMeans(3).fit(FRAMES), path)
    with pytest.raises(DSUError, match="names sklearn.cluster._bisect_k_means.Bisect"):
        read_centroids(path)
    joblib.dump(KMeans(3), path)
    with pytest.raises(DSUError, match="holds a .*KMeans that was never fitted"):
        read_centroids(path)
    joblib.dump(KMeans(2, init=min), path)
    with pytest.raises(DSUError, match="names builtins.min"):
        read_centroids(path)


def test_read_centroids_torch_file_with_code_is_refused_by_name(tmp_path):
    torch.save({"centroids": torch.eye(3), "call": os.system}, tmp_path / "x.pt")
    name = f"{os.system.__module__}.system"
    with pytest.raises(DSUError, match=f"x.pt names {name}; .*nothing in it"):
        read_centroids(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"array \(5,\); expected one array \(K, D\)"),
        (np.zeros((2, 3, 4)), r"array \(2, 3, 4\); expected one array"),
        (np.zeros((1, 3)), "at least two centroids"),
        (np.array([[1.0], [np.nan], [np.inf]]), "2 of 3 centroids are not finite"),
        (np.array([[1e300], [0.0]]), "1 of 2 centroids are not finite"),
        (np.array([["a"], ["b"]]), "expected .* numbers"),
        (np.array([[None], [1]]), "cannot be read: .*Python objects"),
    ],
)
def test_read_centroids_array_that_is_none_is_an_error(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DSUError, match=f"x.npy.*{message}"):
        read_centroids(tmp_path / "x.npy")


def test_read_centroids_damaged_files_are_errors_of_one_line(tmp_path):
    whole = {"x.npy": io.BytesIO(), "x.pt": io.BytesIO()}
    np.save(whole["x.npy"], CENTROIDS)
    torch.save(torch.from_numpy(CENTROIDS), whole["x.pt"])
    contents = {name: file.getvalue()[:-30] for name, file in whole.items()}
    contents["x.safetensors"] = b"\x10\0\0\0\0\0\0\0{}"
    contents["y.pt"] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02"
    contents["x.zip"] = b"PK\x03\x04 no archive"
    contents["x.txt"] = b"0.1 0.2\n0.3 0.4\n"
    contents["empty"] = b""
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DSUError, match=name) as info:
            read_centroids(tmp_path / name)
        assert "\n" not in str(info.value)


def test_read_centroids_npy_that_announces_more_than_it_holds(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**3)}
    )
    (tmp_path / "x.npy").write_bytes(file.getvalue() + b"\0" * 100)
    with pytest.raises(DSUError, match="x.npy cannot be read: "):
        read_centroids(tmp_path / "x.npy")


def test_read_centroids_missing_file_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="cannot read .*none: No such file"):
        read_centroids(tmp_path / "none")
