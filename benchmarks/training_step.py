"""What frozen norms gain in a training, and recording a GPU's passes: `python -m benchmarks.training_step [NAME...] [--device cpu]`.

Milliseconds of a training step (random crops, bfloat16, the median of the later half of the steps): as Python asks for each kernel,
with norms that keep their statistics (`irstream train --frozen-norms`), and on a GPU recorded as one CUDA graph; and how many times
as fast as the first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.commands import reports_mistakes
from models.devices import choose_device
from models.interface import MetadataBatch, Task
from models.segmentation.base import SegmentationModel
from models.zoo import create_model, list_trained
from training.data.batches import Batch
from training.loop.cuda_graph import HeldBatches
from training.loop.loop import train
from training.loop.settings import LoopSettings
from training.tasks.segmentation import SegmentationRecipe, segmentation_loss_of


class TimedBatch:
    """One batch of noise with bright points, drawn again and again; notes when."""

    def __init__(self, num: int, crop_px: int, *, pinned: bool) -> None:
        """Make it; `pinned` where a GPU copies it from without waiting."""
        generator = torch.Generator().manual_seed(1)
        masks = (torch.rand(num, 1, crop_px, crop_px, generator=generator) > 0.999).float()
        pixels = torch.randn(masks.shape, generator=generator) + 6 * masks
        batch = Batch(pixels, (masks, torch.ones_like(masks)), MetadataBatch.unknown((crop_px, crop_px), num))
        self._batch = batch.pin_memory() if pinned else batch
        self.drawn_s: list[float] = []

    def __iter__(self) -> Iterator[Batch]:
        """The batch, for ever."""
        while True:
            self.drawn_s.append(time.perf_counter())
            yield self._batch


def step_ms(
    name: str, device: torch.device, num: int, crop_px: int, steps: int, *, frozen_norms: bool = False, recorded: bool = False
) -> float:
    """Milliseconds of a step."""
    model = create_model(name)
    model.to(device).to(memory_format=torch.channels_last)
    batches = TimedBatch(num, crop_px, pinned=device.type == "cuda")
    drawn, loss = iter(batches), SegmentationRecipe().loss
    held = HeldBatches(drawn, device) if recorded else None

    def step(network: nn.Module) -> Tensor:
        batch = held.batch() if held else next(drawn).to(device, non_blocking=True)
        assert isinstance(network, SegmentationModel)
        return segmentation_loss_of(network, batch, loss)

    settings = LoopSettings(max_steps=steps, max_lr=1e-4, precision="bfloat16", frozen_norms=frozen_norms)
    train(model, step, settings, refill=held.refill if held else None)
    later = batches.drawn_s[steps // 2 :]
    return statistics.median((after - before) * 1e3 for before, after in pairwise(later))


@reports_mistakes
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("networks", nargs="*", default=list_trained(Task.SEGMENTATION))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--crop-px", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    print(f"{device}, torch {torch.__version__}; {arguments.batch_size} crops of {arguments.crop_px} px, ms a step")
    ways = {"plain": {}, "frozen norms": {"frozen_norms": True}} | ({"recorded": {"recorded": True}} if device.type == "cuda" else {})
    print(f"{'network':18}" + "".join(f" {way:>12} {'ratio':>6}" for way in ways))
    for name in arguments.networks:
        times_ms = [step_ms(name, device, arguments.batch_size, arguments.crop_px, arguments.steps, **how) for how in ways.values()]
        print(f"{name:18}" + "".join(f" {time_ms:12.2f} {times_ms[0] / time_ms:6.2f}" for time_ms in times_ms), flush=True)


if __name__ == "__main__":
    main()
