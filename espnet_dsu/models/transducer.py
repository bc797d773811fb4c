"""ESPnet's transducer with the loss of torchaudio."""

from __future__ import annotations

from typing import Any

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.asr.transducer.error_calculator import ErrorCalculatorTransducer
from torchaudio.functional import rnnt_loss

from espnet_dsu.errors import DSUError


class RNNTLoss(torch.nn.Module):
    """Mean transducer loss of a batch (Graves 2012, https://arxiv.org/abs/1211.3711).

    The softmax is part of the loss, so that of the (B, T, U + 1, V) tensors only the
    logits and their gradient take memory.
    """

    def __init__(self, blank: int) -> None:
        super().__init__()
        self.blank = blank

    def forward(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        logit_lengths: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            logits: (B, T, U + 1, V) float, of any precision; computed in 32 bits.
            targets: (B, U) int32.
            logit_lengths: (B,) int32.
            target_lengths: (B,) int32.
        """
        # torchaudio wants tensors that end where the longest utterance ends.
        frames, tokens = int(logit_lengths.max()), int(target_lengths.max())
        return rnnt_loss(
            logits[:, :frames, : tokens + 1].float().contiguous(),
            targets[:, :tokens].contiguous(),
            logit_lengths,
            target_lengths,
            blank=self.blank,
        )


class TransducerASRModel(ESPnetASRModel):
    """ESPnet's ASR model with a transducer decoder, without ``warprnnt_pytorch``.

    ESPnet's own class asks for that package, which the package index does not have for
    current PyTorch. All but the loss is ESPnet's: joint network, CTC beside the
    transducer, intermediate CTC, error rates, beam search.
    """

    def __init__(
        self,
        vocab_size: int,
        token_list: list[str] | tuple[str, ...],
        decoder: Any,
        joint_network: torch.nn.Module | None,
        report_cer: bool = True,
        report_wer: bool = True,
        sym_space: str = "<space>",
        sym_blank: str = "<blank>",
        **options: Any,
    ) -> None:
        """Make the model; the arguments are those of ``ESPnetASRModel``.

        Raises:
            DSUError: if the decoder is not ESPnet's transducer.
        """
        if joint_network is None:
            raise DSUError(
                "the model torchaudio_transducer has no joint network; set decoder: "
                "transducer, or leave out model: torchaudio_transducer"
            )
        if options.get("transducer_multi_blank_durations"):
            raise DSUError(
                "transducer_multi_blank_durations is set, but torchaudio's loss has "
                "one blank; set model: espnet, whose multi-blank loss needs a GPU and "
                "numba"
            )
        # As a model without joint network ESPnet's class asks for no loss.
        super().__init__(
            vocab_size=vocab_size,
            token_list=token_list,
            decoder=decoder,
            joint_network=None,
            report_cer=report_cer,
            report_wer=report_wer,
            sym_space=sym_space,
            sym_blank=sym_blank,
            **options,
        )
        del self.criterion_att
        self.use_transducer_decoder = True
        self.decoder = decoder
        self.joint_network = joint_network
        self.criterion_transducer = RNNTLoss(self.blank_id)
        self.error_calculator_trans = None
        if report_cer or report_wer:
            self.error_calculator_trans = ErrorCalculatorTransducer(
                decoder,
                joint_network,
                token_list,
                sym_space,
                sym_blank,
                report_cer=report_cer,
                report_wer=report_wer,
            )
