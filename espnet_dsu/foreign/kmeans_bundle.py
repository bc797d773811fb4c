"""k-means files to and from tokenizer bundles."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from espnet_dsu.errors import DSUError
from espnet_dsu.foreign.kmeans_file import read_centroids
from espnet_dsu.quantizer.kmeans import KMeans
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.files import atomic_path, file_sha256
from espnet_dsu.upstream import Upstream, build_upstream

SOURCE = "source.yaml"


def import_kmeans(
    path: str | Path,
    upstream: str,
    output_dir: str | Path,
    upstream_conf: Mapping[str, Any] | None = None,
    key: str | None = None,
    embed_upstream: bool = False,
) -> UnitTokenizer:
    """Make the bundle of an upstream and of centroids from another toolkit's file.

    The bundle's ``source.yaml`` says which file it was and what was in it.

    Args:
        path: see :func:`espnet_dsu.foreign.kmeans_file.read_centroids`.
        upstream: whose frames the centroids were trained on.
        output_dir: the bundle; made anew or replaced as a whole.
        upstream_conf: options of the upstream family.
        key: which array of the file, where there are several.
        embed_upstream: copy the upstream's weights into the bundle.

    Raises:
        DSUError: no centroids in the file, or their size is not that of the frames.
    """
    centroids = read_centroids(path, key)
    model = build_upstream(upstream, upstream_conf)
    _check_size(path, centroids.values, model)
    nclusters, dim = centroids.values.shape
    quantizer = KMeans.from_tensors(
        {"nclusters": nclusters, "dim": dim},
        {"centroids": torch.from_numpy(centroids.values)},
    )
    source = {"file": Path(path).name, "sha256": file_sha256(path)}
    source["kind"] = centroids.kind

    def add_source(folder: Path) -> None:
        (folder / SOURCE).write_text(yaml.safe_dump(source), encoding="utf-8")

    tokenizer = UnitTokenizer.join(model, quantizer)
    tokenizer.save_pretrained(output_dir, embed_upstream, add_source)
    logging.info(
        f"{output_dir}: {nclusters} centroids of {path} ({centroids.kind}), "
        f"fingerprint {tokenizer.fingerprint}"
    )
    return tokenizer


def _check_size(path: str | Path, centroids: np.ndarray, upstream: Upstream) -> None:
    nclusters, dim = centroids.shape
    if dim != upstream.dim:
        hint = " (they are transposed)" if nclusters == upstream.dim else ""
        raise DSUError(
            f"{path} holds {nclusters} centroids of size {dim}{hint}, but frames of "
            f"{upstream.name} have size {upstream.dim}; name the upstream and layer "
            "that the k-means was trained on"
        )


def export_kmeans(tokenizer: str | Path, path: str | Path) -> None:
    """Write the centroids of a bundle as ``.npy``, or else as joblib.

    The joblib file holds scikit-learn's KMeans, as ESPnet's ``dump_km_label.py``,
    fairseq and textlesslib load it; writing it takes scikit-learn.

    Raises:
        DSUError: the bundle's quantizer is no k-means, or scikit-learn is missing.
    """
    quantizer = UnitTokenizer.from_pretrained(tokenizer).quantizer
    if not isinstance(quantizer, KMeans):
        raise DSUError(
            f"{tokenizer} quantizes with {quantizer.name}, expected kmeans, which "
            "alone has a form that other toolkits read"
        )
    centroids = quantizer.tensors()["centroids"].numpy()
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".npy":
            with open(temporary, "wb") as f:
                np.save(f, centroids)
        else:
            _dump_sklearn(centroids, temporary)


def _dump_sklearn(centroids: np.ndarray, path: Path) -> None:
    try:
        import joblib
        from sklearn.cluster import KMeans as SklearnKMeans
    except ImportError as error:
        raise DSUError(
            "writing joblib takes scikit-learn, which is not installed (pip install "
            "scikit-learn); or write .npy"
        ) from error
    model = SklearnKMeans(n_clusters=len(centroids))
    # What fit would set and predict reads.
    model.cluster_centers_ = centroids
    model.n_features_in_ = centroids.shape[1]
    model._n_threads = 1
    joblib.dump(model, path)
