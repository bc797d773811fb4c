"""k-means: one stream, the unit is the index of the nearest centroid."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import (
    Frames,
    Quantizer,
    build_quantizer,
    check_finite,
    register_quantizer,
)
from espnet_dsu.quantizer.fit_report import FitPass, FitReport, check_collapse
from espnet_dsu.quantizer.frame_set import FrameSet, as_frames
from espnet_dsu.quantizer.kmeans_start import kmeans_plus_plus, random_start
from espnet_dsu.quantizer.lloyd import Stop, lloyd, minibatch
from espnet_dsu.quantizer.nearest import nearest

_STARTS = {"k-means++": kmeans_plus_plus, "random": random_start}
_ALGORITHMS = ("minibatch", "lloyd")
# ``minibatch`` first iterates on a sample of so many frames per unit, until a pass
# lowers the inertia by less than 1 %: what is left to gain is the sample's noise.
_SAMPLE_FRAMES, _SAMPLE_GAIN = 64, 0.01
# After the mini-batches come full iterations, as long as one lowers it by 0.1 %.
_POLISH_GAIN = 0.001


@register_quantizer
class KMeans(Quantizer):
    """k-means on CPU or CUDA, wherever the module is; on one process or several.

    Beside the frames it needs some 30 times the memory of the centroids, however many
    frames there are. The same seed and data give the same centroids, bit for bit on a
    CPU with the same number of threads; on a GPU up to the order of float64 sums. In a
    ``torch.distributed`` group, a different division of the same frames changes the
    inertia by rounding alone.

    Args:
        nclusters: K, number of units, at least 2.
        dim: D, size of a frame.
        algorithm: ``minibatch`` iterates on a sample of 64 K frames, then in
            mini-batches, at last on all frames: a lower inertia than ``lloyd`` reaches,
            in a fraction of its passes. With at most 64 K frames it is ``lloyd``, which
            iterates on all frames until they settle.
        init: ``k-means++`` (greedy) or ``random`` (frames drawn without replacement).
        max_iter: Most iterations on all frames.
        batch_size: Frames per mini-batch.
        tol: Iterations stop when the centroids' squared shift is at most this share of
            the frames' mean variance.
        reseed_empty: Give an empty unit the frame farthest from its centroid.
        seed: Of the start and of the order of mini-batches.
    """

    name = "kmeans"

    def __init__(
        self,
        nclusters: int,
        dim: int,
        algorithm: str = "minibatch",
        init: str = "k-means++",
        max_iter: int = 100,
        batch_size: int = 10000,
        tol: float = 1e-4,
        reseed_empty: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_choice("algorithm", algorithm, _ALGORITHMS)
        _check_choice("init", init, tuple(_STARTS))
        _check_at_least("nclusters", nclusters, 2)
        for option, value in (
            ("dim", dim),
            ("max_iter", max_iter),
            ("batch_size", batch_size),
        ):
            _check_at_least(option, value, 1)
        self.vocab_sizes, self.dim = (nclusters,), dim
        self.algorithm, self.init = algorithm, init
        self.max_iter, self.batch_size, self.tol = max_iter, batch_size, tol
        self.reseed_empty, self.seed = reseed_empty, seed
        self.centroids: torch.Tensor
        # NaN says: not trained yet.
        untrained = torch.full((nclusters, dim), float("nan"))
        self.register_buffer("centroids", untrained)

    @torch.no_grad()
    def fit(
        self, frames: Iterable[Frames] | Frames, start: torch.Tensor | None = None
    ) -> tuple[FitReport]:
        """Learn the centroids from frames ``(N, D)``; see :meth:`Quantizer.fit`.

        ``start (K, D)`` replaces the option ``init``.

        Raises:
            DSUError: Fewer frames than units, wrong D, NaN or infinite frames, a start
                of another shape, or units that come out nearly constant.
        """
        data = FrameSet(as_frames(frames, self.dim), self.centroids.device)
        if data.total < self.vocab_size:
            raise DSUError(
                f"{data.total} training frames for {self.vocab_size} units, expected "
                "at least one frame per unit; check that the audio list is not empty, "
                "give more audio or a smaller --nclusters"
            )
        mean, variance = data.moments()
        generator = torch.Generator().manual_seed(self.seed)
        centroids = self._start(data, start, mean, generator)
        stop = Stop(self.max_iter, self.tol * variance, gain=0.0)
        passes = list[FitPass]()
        if self.algorithm == "minibatch" and data.total > self._sample_size:
            stop = Stop(self.max_iter, self.tol * variance, _POLISH_GAIN)
            centroids, passes = self._approach(data, centroids, generator)
        centroids, found, polish = lloyd(
            data, centroids, stop, self.reseed_empty, "lloyd"
        )
        report = FitReport.of(passes + polish, found.counts)
        check_collapse(report)
        self.centroids.copy_(centroids)
        return (report,)

    @property
    def _sample_size(self) -> int:
        return _SAMPLE_FRAMES * self.vocab_size

    def _approach(
        self, data: FrameSet, centroids: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, list[FitPass]]:
        """Come near the end by a sample and mini-batches: centroids and passes."""
        numbers = data.sample(self._sample_size, generator)
        stop = Stop(self.max_iter, 0.0, _SAMPLE_GAIN)
        centroids, found, passes = lloyd(
            data, centroids, stop, self.reseed_empty, "sample", numbers
        )
        centroids, course = minibatch(
            data, centroids, found, self.batch_size, generator
        )
        return centroids, passes + course

    def _start(
        self,
        data: FrameSet,
        start: torch.Tensor | None,
        mean: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        if start is None:
            logging.info(
                f"k-means: {self.init} start of {self.vocab_size} centroids on "
                f"{data.total} frames of size {self.dim}"
            )
            return _STARTS[self.init](data, self.vocab_size, mean, generator)
        if tuple(start.shape) != (self.vocab_size, self.dim):
            raise DSUError(
                f"start has shape {tuple(start.shape)}, expected "
                f"({self.vocab_size}, {self.dim}): one row per unit"
            )
        check_finite(start, "start")
        return start.to(self.centroids)

    def assign(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the units of ``frames (..., D)`` as int64 ``(..., 1)``.

        Computed in float32 whatever the dtype of the frames and under autocast too.
        See :func:`espnet_dsu.quantizer.nearest.nearest` for what is guaranteed.
        """
        if frames.ndim == 0 or frames.shape[-1] != self.dim:
            raise DSUError(
                f"frames have shape {tuple(frames.shape)}, expected (..., {self.dim}); "
                "use the upstream and layer that this quantizer was trained with"
            )
        if self.centroids[0, 0].isnan():
            raise DSUError("this k-means is not trained; call fit or load a bundle")
        flat = frames.detach().reshape(-1, self.dim)
        check_finite(flat, "frames to assign")
        return nearest(flat, self.centroids).reshape(*frames.shape[:-1], 1)

    def stream_centroids(self) -> list[torch.Tensor]:
        """Return ``[centroids]``, ``(K, D)``."""
        return [self.centroids]

    def config(self) -> dict[str, Any]:
        """Return ``{"name": "kmeans", "conf": ...}``, every option included."""
        conf = {
            "nclusters": self.vocab_size,
            "dim": self.dim,
            "algorithm": self.algorithm,
            "init": self.init,
            "max_iter": self.max_iter,
            "batch_size": self.batch_size,
            "tol": self.tol,
            "reseed_empty": self.reseed_empty,
            "seed": self.seed,
        }
        return {"name": self.name, "conf": conf}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return ``{"centroids": (K, D)}``, float32 on the CPU."""
        return {"centroids": self.centroids.detach().cpu().clone()}

    @classmethod
    def from_tensors(
        cls, conf: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> KMeans:
        """Rebuild a trained k-means; see :meth:`Quantizer.from_tensors`."""
        model = build_quantizer(cls.name, conf)
        assert isinstance(model, cls)  # for the type checker
        if set(tensors) != {"centroids"}:
            raise DSUError(
                f"k-means tensors are {sorted(tensors)}, expected ['centroids']; the "
                "file belongs to another quantizer or is damaged"
            )
        found, wanted = tensors["centroids"], model.centroids
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise DSUError(
                f"k-means centroids are {tuple(found.shape)} {found.dtype}, expected "
                f"{tuple(wanted.shape)} {wanted.dtype} as the config says; config and "
                "tensors are of different bundles"
            )
        check_finite(found, "k-means centroids")
        wanted.copy_(found)
        return model


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DSUError(f"{option} is {value!r}, expected one of {', '.join(choices)}")


def _check_at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise DSUError(f"{option} is {value}, expected at least {least}")
