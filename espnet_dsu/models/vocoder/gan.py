"""The unit vocoder with its discriminator, as ESPnet's GAN trainer trains it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_gan_espnet_model import AbsGANESPnetModel

from espnet_dsu.errors import DSUError
from espnet_dsu.models.vocoder.conditions import Conditions
from espnet_dsu.models.vocoder.losses import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
    MelLoss,
    duration_loss,
)
from espnet_dsu.models.vocoder.pitch import F0Track
from espnet_dsu.models.vocoder.runs import collapse_batch
from espnet_dsu.models.vocoder.segments import draw_segments
from espnet_dsu.models.vocoder.unit_vocoder import UnitVocoder

# Three resolutions: pitch shows in the long window, onsets in the short one.
_MEL_SECONDS = ((0.064, 80), (0.032, 40), (0.016, 20))


class UnitVocoderModel(AbsGANESPnetModel):
    """Train a :class:`UnitVocoder` on random segments of utterances.

    Attributes:
        generator: the vocoder.
        discriminator: tells its speech from real speech.
    """

    def __init__(
        self,
        generator: UnitVocoder,
        discriminator: torch.nn.Module,
        segment_sec: float = 0.6,
        mel_loss: Sequence[Mapping[str, Any]] | None = None,
        lambda_mel: float = 45.0,
        lambda_adv: float = 1.0,
        lambda_feat_match: float = 2.0,
        lambda_duration: float = 1.0,
        lambda_f0: float = 1.0,
        discriminator_start: int = 0,
        stream_dropout: float = 0.0,
        adv_loss: str = "mse",
    ) -> None:
        """Make the model.

        Args:
            generator: the vocoder.
            discriminator: one of ESPnet's; takes (B, 1, N).
            segment_sec: length of the segments that losses of waveforms see.
            mel_loss: resolutions; see :class:`MelLoss`. None is three of 64, 32, 16 ms.
            lambda_mel, lambda_adv, lambda_feat_match, lambda_duration, lambda_f0:
                weights of the losses.
            discriminator_start: steps of the generator before the discriminator takes
                part; until then a step costs a third.
            stream_dropout: probability that a training batch misses each of the
                streams, so that any of them decode alone; one always stays.
            adv_loss: ``mse`` or ``hinge``.
        """
        super().__init__()
        if not 0 <= stream_dropout < 1:
            raise DSUError(f"stream_dropout is {stream_dropout}, expected 0 <= p < 1")
        self.generator, self.discriminator = generator, discriminator
        self.segment = max(1, round(segment_sec * generator.fs / generator.upsample))
        self.mel_loss = MelLoss(
            generator.fs, mel_loss or default_resolutions(generator.fs)
        )
        self.adversarial = GeneratorAdversarialLoss(loss_type=adv_loss)
        self.judgement = DiscriminatorAdversarialLoss(loss_type=adv_loss)
        self.feature_match = FeatureMatchLoss()
        self.lambda_mel, self.lambda_adv = lambda_mel, lambda_adv
        self.lambda_feat_match = lambda_feat_match
        self.lambda_duration, self.lambda_f0 = lambda_duration, lambda_f0
        self.discriminator_start = discriminator_start
        self.stream_dropout = stream_dropout
        # Floating, since ESPnet averages all tensors of checkpoints.
        self.register_buffer("steps", torch.zeros(1))
        # Both turns of a step see one output of the generator: whose turn made it, and
        # the output.
        self._spoken: tuple[bool, dict[str, Any]] | None = None

    def forward(
        self,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        forward_generator: bool = True,
        **batch: torch.Tensor,
    ) -> dict[str, Any]:
        """Return the loss of the generator or of the discriminator.

        Args:
            units: (B, T) or (B, T, S) frame units.
            units_lengths: (B,).
            speech: (B, N).
            speech_lengths: (B,) in samples.
            forward_generator: whose turn it is.
            batch: ``sids``, ``styles``, ``spembs``, ``f0`` as in :class:`Conditions`.
        """
        spoken, self._spoken = self._spoken, None
        if spoken is not None and spoken[0] != forward_generator:
            made = spoken[1]
        else:
            lengths = self._frames(units_lengths, speech_lengths)
            made = self._speak(units, lengths, speech, Conditions.of(batch))
            # The next call is the other turn of the same batch.
            self._spoken = (forward_generator, made) if self.training else None
        turn = self._generator_turn if forward_generator else self._discriminator_turn
        loss, stats, index = *turn(made), 0 if forward_generator else 1
        loss, stats, weight = force_gatherable((loss, stats, len(units)), loss.device)
        return {"loss": loss, "stats": stats, "weight": weight, "optim_idx": index}

    def _frames(self, units: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
        """Count the frames that have both units and samples.

        Raises:
            DSUError: the audio is of another length, or rate, than the units.
        """
        upsample = self.generator.upsample
        apart = (units * upsample - samples).abs()
        # Upstreams leave out up to a window at the end, some add a frame.
        if bool((apart > 0.1 * samples + 4 * upsample).any()):
            worst = int(apart.argmax())
            raise DSUError(
                f"{int(units[worst])} units of {upsample} samples for "
                f"{int(samples[worst])} samples at {self.generator.fs} Hz: units and "
                "audio do not belong together; is --fs the rate of the audio?"
            )
        return torch.minimum(units, (samples / upsample).ceil().long())

    def _speak(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        speech: torch.Tensor,
        given: Conditions,
    ) -> dict[str, Any]:
        """Let the generator speak random segments; predict what it predicts."""
        vocoder = self.generator
        streams = self._draw_streams()
        embedded = vocoder.embed(units, given, streams)
        made: dict[str, Any] = {}
        segments = draw_segments(lengths, self.segment, self.training)
        parts = segments.of_frames(embedded)
        if vocoder.pitch is not None:
            track = F0Track.of_hz(_given_f0(given, units.shape[1]), lengths)
            losses = vocoder.pitch.loss(embedded, lengths, track)
            made["f0_loss"], made["voicing_loss"] = losses
            parts = parts + segments.of_frames(vocoder.pitch(track))
        if vocoder.durations is not None:
            made["duration_loss"] = self._duration_loss(units, lengths, given, streams)
        made["generated"] = vocoder.generator(parts.transpose(1, 2))
        made["real"] = segments.of_samples(speech, vocoder.upsample).unsqueeze(1)
        return made

    def _draw_streams(self) -> list[int] | None:
        streams = self.generator.spec.num_streams
        if not self.training or not self.stream_dropout or streams == 1:
            return None
        kept = torch.rand(streams) >= self.stream_dropout
        kept[torch.randint(streams, (1,))] |= not kept.any()
        return [i for i in range(streams) if kept[i]]

    def _duration_loss(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        given: Conditions,
        streams: list[int] | None,
    ) -> torch.Tensor:
        vocoder = self.generator
        assert vocoder.durations is not None
        runs, durations, counts = collapse_batch(units, lengths, streams)
        logs = vocoder.durations(vocoder.embed(runs, given, streams), counts)
        return duration_loss(logs.squeeze(-1), durations, counts)

    @property
    def is_adversarial(self) -> bool:
        """Whether the discriminator takes part yet."""
        return bool(self.steps.item() >= self.discriminator_start)

    def _generator_turn(self, made: dict[str, Any]) -> tuple[torch.Tensor, dict]:
        # In full precision: spectra of half precision lose what is quiet.
        with torch.autocast(made["real"].device.type, enabled=False):
            mel = self.mel_loss(made["generated"].float(), made["real"])
        loss = self.lambda_mel * mel
        stats = {"mel_loss": mel.detach()}
        if self.is_adversarial:
            judged = self.discriminator(made["generated"])
            with torch.no_grad():
                wanted = self.discriminator(made["real"])
            adversarial = self.adversarial(judged)
            match = self.feature_match(judged, wanted)
            loss = loss + self.lambda_adv * adversarial + self.lambda_feat_match * match
            stats.update(adv_loss=adversarial.detach(), feat_match_loss=match.detach())
        for name, weight in (
            ("duration_loss", self.lambda_duration),
            ("f0_loss", self.lambda_f0),
            ("voicing_loss", self.lambda_f0),
        ):
            if name in made:
                loss = loss + weight * made[name]
                stats[name] = made[name].detach()
        if self.training:
            self.steps += 1
        return loss, {"generator_loss": loss.detach(), **stats}

    def _discriminator_turn(self, made: dict[str, Any]) -> tuple[torch.Tensor, dict]:
        if not self.is_adversarial:
            # The trainer wants a loss to take the gradient of, and all its weights.
            loss = torch.stack([p.sum() for p in self.discriminator.parameters()])
            loss = loss.sum() * 0.0
            return loss, {"discriminator_loss": loss.detach()}
        fake = self.discriminator(made["generated"].detach())
        real_loss, fake_loss = self.judgement(fake, self.discriminator(made["real"]))
        loss = real_loss + fake_loss
        stats = {"discriminator_loss": loss.detach()}
        stats.update(real_loss=real_loss.detach(), fake_loss=fake_loss.detach())
        return loss, stats

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Collect nothing: the losses make their features themselves."""
        return {}


def default_resolutions(fs: int) -> list[dict[str, Any]]:
    """Return the resolutions of the mel loss at a sampling rate."""
    sizes = ((2 ** round(math.log2(sec * fs)), mels) for sec, mels in _MEL_SECONDS)
    return [{"n_fft": size, "n_mels": mels} for size, mels in sizes]


def _given_f0(given: Conditions, frames: int) -> torch.Tensor:
    """Fit F0 (B, T') to the frames of the units.

    Raises:
        DSUError: it is missing.
    """
    if given.f0 is None:
        raise DSUError(
            "the vocoder learns from F0 (vocoder_conf f0), but the data has none: give "
            "<dir>/f0.scp,f0,kaldi_ark, made by the extract_f0 command"
        )
    more = frames - given.f0.shape[1]
    return torch.nn.functional.pad(given.f0, (0, more))
