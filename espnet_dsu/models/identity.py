"""Which bundle a model belongs to, as a tensor that a checkpoint can carry."""

from __future__ import annotations

import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.spec import UnitSpec

_LENGTH = 16  # of a fingerprint
_FINETUNED = "+finetuned"


def identity_of(tokenizer: UnitTokenizer, finetuned: bool) -> str:
    """Name the unit space and the pieces that a model's embeddings belong to.

    With a fine-tuned upstream it is another unit space than that of the bundle.
    """
    pieces = tokenizer.pieces
    named = tokenizer.fingerprint + (pieces.fingerprint if pieces else "-" * _LENGTH)
    return named + (_FINETUNED if finetuned else "")


def as_tensor(identity: str) -> torch.Tensor:
    """Write an identity as bytes in floats.

    ESPnet's checkpoint averaging adds and divides every tensor, which leaves small
    floats as they are, and would not leave integers.
    """
    return torch.tensor(list(identity.encode()), dtype=torch.float32)


def check_identity(values: torch.Tensor, expected: str, spec: UnitSpec) -> None:
    """Refuse a checkpoint that carries another identity than the ``expected`` one.

    Args:
        values: what :func:`as_tensor` wrote, from the checkpoint.
        expected: of the model that the checkpoint is to be loaded into.
        spec: of that model's units.

    Raises:
        DSUError: naming both.
    """
    found = bytes(round(v) for v in values.tolist()).decode(errors="replace")
    if found != expected:
        raise DSUError(
            f"the checkpoint was trained with the bundle {_spell(found)}, but the "
            f"config names {spec.tag}, {_spell(expected)}; use the config and the "
            "tokenizer bundle that the model was trained with"
        )


def _spell(identity: str) -> str:
    text = f"fingerprint {identity[:_LENGTH]}"
    pieces = identity[_LENGTH : 2 * _LENGTH].strip("-")
    text += f" (unit pieces {pieces})" if pieces else ""
    return text + (" and a fine-tuned upstream" if identity[2 * _LENGTH :] else "")
