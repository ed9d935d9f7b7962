"""Forward and backward passes of a GPU, recorded once and replayed.

The kernels of a small network are shorter than the time Python takes to ask for each: replayed as one CUDA graph they follow each
other without a gap (`python -m benchmarks.training_step`, docs/networks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from training.data.batches import Batch

_WARM_UPS = 3


class HeldBatches:
    """Batches at one place of a GPU's memory, where recorded passes find each."""

    def __init__(self, batches: Iterator[Batch], device: torch.device | str) -> None:
        """Nothing is drawn yet.

        Args:
            batches: all of one shape.
            device: where they are held.
        """
        self._batches, self._device = batches, device
        self._held: Batch | None = None

    def refill(self) -> None:
        """Put the next batch there."""
        drawn = next(self._batches)
        if self._held is None:
            self._held = drawn.to(self._device)
            return
        for held, new in zip(self._held.tensors, drawn.tensors, strict=True):
            held.copy_(new, non_blocking=True)

    def batch(self) -> Batch:
        """The batch that is there; the same until it is refilled."""
        if self._held is None:
            self.refill()
        assert self._held is not None
        return self._held


class CudaGraphStep:
    """Passes as one CUDA graph."""

    def __init__(self, model: nn.Module, loss: Callable[[], Tensor], refill: Callable[[], None]) -> None:
        """Nothing is recorded yet.

        Args:
            model: on a GPU, in training mode at every call; its weights stay where they are in memory.
            loss: scalar loss of a batch that is always at the same place, without a word from the GPU to Python in between.
            refill: puts the next batch there.
        """
        self._model, self._loss, self._refill = model, loss, refill
        self._graph: torch.cuda.CUDAGraph | None = None
        self._last_loss: Tensor | None = None

    def __call__(self) -> Tensor:
        """Loss of the next batch; its gradients are in the weights, and only its."""
        self._refill()
        if self._graph is None:
            self._record()
        assert self._graph is not None
        assert self._last_loss is not None
        self._graph.replay()
        return self._last_loss

    def _record(self) -> None:
        buffers = [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                self._model.zero_grad(set_to_none=True)
                self._loss().backward()  # type: ignore[no-untyped-call]
        torch.cuda.current_stream().wait_stream(aside)
        # Without gradients from before, the graph writes its own each time in place of adding to them.
        self._model.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        # Other threads may ask the GPU for memory meanwhile: the one that pins batches does.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            loss = self._loss()
            loss.backward()  # type: ignore[no-untyped-call]
        self._graph, self._last_loss = graph, loss.detach()
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
