"""What the networks cost on this machine, bare: `python benchmarks/networks.py`.

Milliseconds per 256 x 256 frame (per 48 x 48 crop for the classifier), forward and postprocess, prepared as the actors
prepare them; median of several rounds. On a shared machine times wander, so the best round is printed too, and the
ratio to the first network. The classifier's share of a frame is a few crops.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from models.inference import InferenceModel, fastest_dtype, prepare
from models.interface import MetadataBatch, Task
from models.transforms import measure, normalise
from models.zoo import list_models, load_model

FRAME_PX = 256
CROPS_A_FRAME = 3
BUDGET_MS = 40.0


def batch_of(num: int, side_px: int) -> torch.Tensor:
    """Normalised frames with a little structure, so that postprocessing has something to do."""
    rng = np.random.default_rng(0)
    frames = rng.normal(100, 4, (num, side_px, side_px))
    frames[:, side_px // 2 : side_px // 2 + 4, side_px // 3 : side_px // 3 + 4] += 60
    counts = frames.clip(0, 255).astype(np.uint8)
    return torch.from_numpy(np.stack([normalise(frame, measure(frame, 8)) for frame in counts])[:, None])


def times_ms(function: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and best of several rounds after two to warm up."""
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[2:]), min(times[2:])


def cost_ms(model: InferenceModel, batch_size: int, rounds: int) -> tuple[float, float]:
    """Median and best milliseconds per item, forward and postprocess."""
    side_px = model.model.input_spec.fixed_size_px or FRAME_PX
    pixels, sizes = batch_of(batch_size, side_px), [(side_px, side_px)] * batch_size
    metadata = MetadataBatch.unknown((side_px, side_px), batch_size)

    def once() -> object:
        return model.model.postprocess(model.forward(pixels, metadata), sizes)

    median, best = times_ms(once, rounds)
    return median / batch_size, best / batch_size


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}"
    )
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, fastest format {fastest_dtype('cpu')}")
    print(f"{'network':12} {'task':15} {'batch':>5} {'median ms':>10} {'best ms':>8} {'ratio':>6}")
    best: dict[tuple[str, int], float] = {}
    for name in list_models():
        model = prepare(load_model(name)[0])
        for batch_size in (1, 8):
            median, best[name, batch_size] = cost_ms(model, batch_size, arguments.rounds)
            ratio = best[name, batch_size] / best[list_models()[0], batch_size]
            print(f"{name:12} {model.model.task:15} {batch_size:5} {median:10.2f} {best[name, batch_size]:8.2f} {ratio:6.2f}")
    detector, classifier = list_models(Task.DETECTION)[0], list_models(Task.CLASSIFICATION)[0]
    for segmenter in list_models(Task.SEGMENTATION):
        total = best[detector, 8] + best[segmenter, 8] + CROPS_A_FRAME * best[classifier, 8]
        print(f"{detector} + {segmenter} + {CROPS_A_FRAME} crops, batch 8, best rounds: {total:.1f} ms a frame (budget {BUDGET_MS:.0f})")


if __name__ == "__main__":
    main()
