"""The processes that fit one quantizer together; one alone needs no group."""

from __future__ import annotations

import torch
from torch import distributed


class Ranks:
    """The initialised ``torch.distributed`` group, or this process alone.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
    """

    def __init__(self) -> None:
        grouped = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if grouped else 0
        self.size = distributed.get_world_size() if grouped else 1

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace ``tensor`` by its sum over all ranks, bit for bit the same on all."""
        if self.size > 1:
            distributed.all_reduce(tensor)
            self.share(tensor)
        return tensor

    def share(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace ``tensor`` by what rank 0 has."""
        if self.size > 1:
            distributed.broadcast(tensor, src=0)
        return tensor

    def collect(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensors of all ranks, of one shape, stacked in order of rank."""
        stack = tensor.new_zeros(self.size, *tensor.shape)
        stack[self.rank] = tensor
        return self.add(stack)
