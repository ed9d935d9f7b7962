"""What recording a GPU's passes gains: `python -m benchmarks.training_step [NAME...]`; needs a GPU.

Milliseconds of a training step (random crops, bfloat16, the median of the later half of the steps), as Python asks for each kernel and
recorded as one CUDA graph, and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from itertools import pairwise

import torch

from models.inference import choose_device
from models.interface import Task
from models.zoo import create_model, list_trained
from training.commands import tells_mistakes
from training.loop import LoopSettings, train
from training.recorded import HeldBatches
from training.segmentation import Batch, SegmentationRecipe, segmentation_step


class TimedBatch:
    """One batch of noise with bright points, drawn again and again; notes when."""

    def __init__(self, num: int, crop_px: int, *, pinned: bool) -> None:
        """Make it; `pinned` where a GPU copies it from without waiting."""
        generator = torch.Generator().manual_seed(1)
        masks = (torch.rand(num, 1, crop_px, crop_px, generator=generator) > 0.999).float()
        pixels = torch.randn(masks.shape, generator=generator) + 6 * masks
        pixels, masks, weights = (each.pin_memory() if pinned else each for each in (pixels, masks, torch.ones_like(masks)))
        self._batch = (pixels, masks, weights)
        self.drawn_s: list[float] = []

    def draw(self) -> Batch:
        """The batch."""
        self.drawn_s.append(time.perf_counter())
        return self._batch


def step_ms(name: str, device: torch.device, num: int, crop_px: int, steps: int, *, recorded: bool) -> float:
    """Milliseconds of a step."""
    model = create_model(name).to(device).to(memory_format=torch.channels_last)
    batches = TimedBatch(num, crop_px, pinned=device.type == "cuda")
    held = HeldBatches(batches, device) if recorded else None
    step = partial(segmentation_step, held or batches, SegmentationRecipe())
    train(model, step, LoopSettings(max_steps=steps, max_lr=1e-3, precision="bfloat16"), refill=held.refill if held else None)
    later = batches.drawn_s[steps // 2 :]
    return statistics.median((after - before) * 1e3 for before, after in pairwise(later))


@tells_mistakes
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
    print(f"{'network':18} {'asked for':>10} {'recorded':>10} {'ratio':>7}")
    for name in arguments.networks:
        asked, recorded = (
            step_ms(name, device, arguments.batch_size, arguments.crop_px, arguments.steps, recorded=recorded) for recorded in (False, True)
        )
        print(f"{name:18} {asked:10.2f} {recorded:10.2f} {asked / recorded:7.2f}", flush=True)


if __name__ == "__main__":
    main()
