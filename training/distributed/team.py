"""Processes that train one network together: gradients are shared by DDP, all else is decided by the first."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from training.data.batches import Batch
from training.tasks.base import TrainingTask

_T = TypeVar("_T")


class Team:
    """The processes of `torch.distributed`; one alone where it was not started."""

    @property
    def size(self) -> int:
        """Number of processes."""
        return distributed.get_world_size() if distributed.is_initialized() else 1

    @property
    def rank(self) -> int:
        """Number of this process; 0 decides."""
        return distributed.get_rank() if distributed.is_initialized() else 0

    def from_first(self, value: _T) -> _T:
        """The value that the first process gives, for all of them; a plain value, or tensors on the CPU."""
        if self.size == 1:
            return value
        box = [value if self.rank == 0 else None]
        distributed.broadcast_object_list(box, src=0)
        return cast(_T, box[0])


class LossOfBatch(nn.Module):
    """The loss of a task as a module, so that DDP sees each pass of the network; weights are the network's own."""

    def __init__(self, task: TrainingTask, model: nn.Module) -> None:
        """Share the weights of a network."""
        super().__init__()
        self.model, self._task = model, task

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch, a scalar."""
        return self._task.loss(self.model, batch)


def shared_loss(task: TrainingTask, model: nn.Module, team: Team) -> nn.Module:
    """Module that gives the loss of a batch and whose gradients are the means over the team."""
    loss = LossOfBatch(task, model)
    if team.size == 1:
        return loss
    device = next(model.parameters()).device
    ids = [device] if device.type == "cuda" else None
    # A batch without targets leaves some heads without gradient.
    return DistributedDataParallel(loss, device_ids=ids, find_unused_parameters=True)


def seed_everything(seed: int, rank: int) -> None:
    """Seed numpy, torch and CUDA: first weights are alike, what is drawn later is each process's own."""
    import numpy as np

    np.random.seed((seed + rank) % 2**32)
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed + rank)
