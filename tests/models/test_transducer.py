from __future__ import annotations

import itertools

import pytest
import torch

from espnet_dsu.models.transducer import RNNTLoss


def brute_force(logits: torch.Tensor, target: list[int], blank: int) -> torch.Tensor:
    """Sum the probability of every alignment of (T, U + 1, V) logits; -log of it.

    An alignment is T blanks and U tokens in any order that ends with a blank.
    """
    frames, tokens = logits.size(0), len(target)
    scores = logits.log_softmax(dim=-1)
    paths = []
    for places in itertools.combinations(range(frames + tokens - 1), tokens):
        t = u = 0
        path = scores.new_zeros(())
        for step in range(frames + tokens):
            if step in places:
                path = path + scores[t, u, target[u]]
                u += 1
            else:
                path = path + scores[t, u, blank]
                t += 1
        paths.append(path)
    return -torch.logsumexp(torch.stack(paths), dim=0)


@pytest.mark.parametrize("blank", [0, 4])
def test_rnnt_loss_and_gradient_are_those_of_all_alignments(blank):
    torch.manual_seed(0)
    targets, lengths = [[1, 2, 1], [3], [], [2, 2]], [4, 5, 2, 1]
    logits = torch.randn(4, 5, 4, 5, requires_grad=True)
    padded = torch.full((4, 3), blank, dtype=torch.int32)
    for row, target in zip(padded, targets):
        row[: len(target)] = torch.tensor(target)
    expected = torch.stack(
        [
            brute_force(row[:n, : len(target) + 1].double(), target, blank)
            for row, target, n in zip(logits, targets, lengths)
        ]
    ).mean()
    (wanted,) = torch.autograd.grad(expected, logits)
    target_lengths = torch.tensor([len(t) for t in targets], dtype=torch.int32)
    sizes = torch.tensor(lengths, dtype=torch.int32), target_lengths
    loss = RNNTLoss(blank)(logits, padded, *sizes)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss.double(), expected.double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)
    # What lies behind the ends of an utterance counts for nothing.
    assert not gradient[0, 4:].any() and not gradient[1, :, 2:].any()


def test_rnnt_loss_of_padded_and_half_precision_logits_is_the_same():
    logits = torch.randn(2, 7, 5, 6).bfloat16()
    targets = torch.tensor([[1, 2, 0], [3, 0, 0]], dtype=torch.int32)
    sizes = [torch.tensor(n, dtype=torch.int32) for n in ([5, 4], [2, 1])]
    loss = RNNTLoss(0)(logits, targets, *sizes)
    assert loss.dtype == torch.float32
    short = logits.float()[:, :5, :3]
    assert torch.equal(loss, RNNTLoss(0)(short, targets[:, :2], *sizes))
