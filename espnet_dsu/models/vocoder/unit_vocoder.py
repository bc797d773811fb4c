"""The unit vocoder: embeddings, conditions, predictors and a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.models.identity import as_tensor, check_identity, identity_of
from espnet_dsu.models.unit_embedding import UnitEmbedding, centroid_rows
from espnet_dsu.models.vocoder.conditions import ConditionEncoder, Conditions
from espnet_dsu.models.vocoder.masking import is_real, repeat_last
from espnet_dsu.models.vocoder.pitch import F0Track, PitchEncoder
from espnet_dsu.models.vocoder.variance import VariancePredictor
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.spec import UnitSpec

_INITS = ("random", "centroids")


class UnitVocoder(torch.nn.Module):
    """Turn units into speech; what inference needs of a vocoder.

    A checkpoint records the fingerprint of its bundle and is refused beside another.

    Attributes:
        spec: the unit space.
        fs: sampling rate of what comes out, in Hz.
        upsample: samples of a frame.
        speakers, styles: names and ids; empty without.
        spk_embed_dim: size of external speaker embeddings; None without.
    """

    def __init__(
        self,
        tokenizer: UnitTokenizer,
        fs: int,
        generator: torch.nn.Module,
        speakers: Mapping[str, int] | None = None,
        styles: Mapping[str, int] | None = None,
        embed_dim: int = 128,
        embedding_init: str = "random",
        fusion: str = "sum",
        spk_embed_dim: int | None = None,
        f0: str = "none",
        f0_bins: int = 64,
        f0_predictor_conf: Mapping[str, Any] | None = None,
        predict_durations: bool = True,
        duration_predictor_conf: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the vocoder.

        Args:
            tokenizer: of the units.
            fs: sampling rate of what comes out, in Hz.
            generator: embeddings (B, D, T) to waveforms (B, 1, T * upsample).
            speakers: ids of a speaker table by name.
            styles: ids of a style table by name.
            embed_dim: D, size of all embeddings.
            embedding_init: ``random``, or ``centroids``: the bundle's, standardised.
            fusion: of streams: ``sum``, ``attention``, or ``concat``, which needs all
                of them; see :class:`espnet_dsu.models.unit_embedding.UnitEmbedding`.
            spk_embed_dim: size of external speaker embeddings (``spembs``).
            f0: pitch as a further input: ``none``, ``continuous`` or ``quantized``.
            f0_bins: of ``quantized``.
            f0_predictor_conf: of the predictor of pitch; see
                :class:`espnet_dsu.models.vocoder.variance.VariancePredictor`.
            predict_durations: learn the durations of unit runs.
            duration_predictor_conf: of their predictor.
        """
        super().__init__()
        if embedding_init not in _INITS:
            raise DSUError(
                f"embedding_init is {embedding_init!r}, expected {' or '.join(_INITS)}"
            )
        self.spec: UnitSpec = tokenizer.spec
        self.fs, self.upsample = fs, samples_of_a_frame(tokenizer.spec, fs)
        self.speakers, self.styles = dict(speakers or {}), dict(styles or {})
        self.spk_embed_dim = spk_embed_dim
        initial = None
        if embedding_init == "centroids":
            initial = centroid_rows(tokenizer.quantizer.stream_centroids())
        self.embedding = UnitEmbedding(
            self.spec.vocab_sizes, embed_dim, fusion, initial
        )
        self.conditions = ConditionEncoder(
            embed_dim,
            _table_size(self.speakers),
            _table_size(self.styles),
            spk_embed_dim,
        )
        self.pitch: PitchEncoder | None = None
        if f0 != "none":
            self.pitch = PitchEncoder(
                embed_dim, f0, f0_bins, dict(f0_predictor_conf or {})
            )
        self.durations: VariancePredictor | None = None
        if predict_durations:
            options = dict(duration_predictor_conf or {})
            self.durations = VariancePredictor(embed_dim, 1, **options)
        self.generator = generator
        self._identity = identity_of(tokenizer, False)
        self.register_buffer("fingerprint", as_tensor(self._identity))

    @property
    def uses_f0(self) -> bool:
        """Whether pitch is a further input."""
        return self.pitch is not None

    @property
    def has_duration(self) -> bool:
        """Whether it can speak unit runs without durations."""
        return self.durations is not None

    def embed(
        self,
        units: torch.Tensor,
        given: Conditions,
        streams: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Embed units (B, T) or (B, T, S), with speaker and style, as (B, T, D)."""
        vector = self.conditions(given)
        if isinstance(vector, torch.Tensor):
            vector = vector.unsqueeze(1)
        return self.embedding(units.clamp_min(0), streams=streams) + vector

    def predict_durations(
        self,
        runs: torch.Tensor,
        lengths: torch.Tensor,
        given: Conditions,
        streams: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Predict the durations (B, R) in frames of unit runs (B, R) or (B, R, S).

        Each is at least 1, and 0 in the padding.

        Raises:
            DSUError: the vocoder has not learned them.
        """
        if self.durations is None:
            raise DSUError(
                "this vocoder was trained with predict_durations: false; give frame "
                "units, or unit runs with their durations"
            )
        logs = self.durations(self.embed(runs, given, streams), lengths).squeeze(-1)
        durations = (logs.float().exp() - 1).round().clamp_min(1).long()
        return durations * is_real(lengths, runs.shape[1])

    def predict_f0(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        given: Conditions,
        streams: Sequence[int] | None = None,
    ) -> F0Track:
        """Predict the pitch of units.

        Raises:
            DSUError: the vocoder has no pitch.
        """
        if self.pitch is None:
            raise DSUError("this vocoder was trained with f0: none and has no pitch")
        return self.pitch.predict(self.embed(units, given, streams), lengths)

    def forward(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        given: Conditions,
        streams: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Speak frame units.

        An utterance sounds the same whatever it is batched with: its last frame goes on
        for as long as the generator looks ahead, and what that gives is cut off.

        Args:
            units: (B, T) or (B, T, S); padding is not read.
            lengths: (B,).
            given: speaker, style and F0 (B, T); F0 is predicted where it is None.
            streams: those of the S streams that are there; None is all.

        Returns:
            waveforms (B, T * upsample), zero after each end.
        """
        embedded = self.embed(units, given, streams)
        if self.pitch is not None:
            if given.f0 is not None:
                track = F0Track.of_hz(given.f0, lengths)
            else:
                track = self.pitch.predict(embedded, lengths)
            embedded = embedded + self.pitch(track)
        context: Any = self.generator.context
        longer = repeat_last(embedded, lengths, int(context))
        wav = self.generator(longer.transpose(1, 2)).squeeze(1)
        wav = wav[:, : units.shape[1] * self.upsample]
        return wav * is_real(lengths * self.upsample, wav.shape[1])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Refuse weights of another bundle; ESPnet loads with ``strict=False``."""
        values = state_dict.get(prefix + "fingerprint")
        if values is None:
            raise DSUError(
                f"the checkpoint lacks {prefix}fingerprint: it is no checkpoint of a "
                "unit vocoder"
            )
        check_identity(values, self._identity, self.spec)
        super()._load_from_state_dict(state_dict, prefix, *args)


def samples_of_a_frame(spec: UnitSpec, fs: int) -> int:
    """Return how many samples at ``fs`` Hz a frame of the units lasts.

    Raises:
        DSUError: if it is no whole number, with the nearest rates that are.
    """
    samples, rest = divmod(spec.frame_shift * fs, spec.sample_rate)
    if rest or not samples:
        usual = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
        fit = [r for r in usual if spec.frame_shift * r % spec.sample_rate == 0]
        raise DSUError(
            f"at {fs} Hz a frame of {spec.tag} ({spec.frame_shift} samples at "
            f"{spec.sample_rate} Hz) is {spec.frame_shift * fs / spec.sample_rate:.2f} "
            f"samples, expected a whole number; choose fs among {fit}"
        )
    return samples


def _table_size(ids: Mapping[str, int]) -> int:
    return max(ids.values()) + 1 if ids else 0
