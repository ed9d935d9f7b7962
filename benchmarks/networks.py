"""What the networks cost on this machine, bare: `python benchmarks/networks.py`.

Milliseconds per 256 x 256 frame (per 48 x 48 crop for the classifier), forward and postprocess, prepared as the actors
prepare them. Median and best of several rounds by the clock, and the least processor time of a round: on a shared machine the
clock wanders, and with `--threads 1` processor time does not. The classifier's share of a frame is a few crops.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from models.devices import fastest_dtype
from models.inference import InferenceModel, prepare
from models.interface import MetadataBatch, Task
from models.normalisation import measure
from models.transforms import normalise
from models.zoo import list_trained, load_model

FRAME_PX = 256
CROPS_A_FRAME = 3


def batch_of(num: int, side_px: int) -> torch.Tensor:
    """Normalised frames with a little structure, so that postprocessing has something to do."""
    rng = np.random.default_rng(0)
    frames = rng.normal(100, 4, (num, side_px, side_px))
    frames[:, side_px // 2 : side_px // 2 + 4, side_px // 3 : side_px // 3 + 4] += 60
    counts = frames.clip(0, 255).astype(np.uint8)
    return torch.from_numpy(np.stack([normalise(frame, measure(frame, 8)) for frame in counts])[:, None])


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds per item: median and best by the clock, least processor time (of all threads)."""

    median_ms: float
    best_ms: float
    processor_ms: float


def cost_of(model: InferenceModel, batch_size: int, rounds: int) -> Cost:
    """Time forward and postprocess of a batch, after two rounds to warm up."""
    side_px = model.model.input_spec.fixed_size_px or FRAME_PX
    pixels, sizes = batch_of(batch_size, side_px), [(side_px, side_px)] * batch_size
    metadata = MetadataBatch.unknown((side_px, side_px), batch_size)
    clock, processor = [], []
    for _ in range(rounds + 2):
        start, start_processor = time.perf_counter(), time.process_time()
        model.model.postprocess(model.forward(pixels, metadata), sizes)
        clock.append((time.perf_counter() - start) * 1e3 / batch_size)
        processor.append((time.process_time() - start_processor) * 1e3 / batch_size)
    return Cost(statistics.median(clock[2:]), min(clock[2:]), min(processor[2:]))


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
    print(f"{'network':12} {'task':15} {'batch':>5} {'median ms':>10} {'best ms':>8} {'processor ms':>13}")
    costs: dict[tuple[str, int], Cost] = {}
    for name in list_trained():
        model = prepare(load_model(name)[0])
        for batch_size in (1, 8):
            cost = costs[name, batch_size] = cost_of(model, batch_size, arguments.rounds)
            print(f"{name:12} {model.model.task:15} {batch_size:5} {cost.median_ms:10.2f} {cost.best_ms:8.2f} {cost.processor_ms:13.2f}")
    detector, classifier = list_trained(Task.DETECTION)[0], list_trained(Task.CLASSIFICATION)[0]
    for segmenter in list_trained(Task.SEGMENTATION):
        parts = [(costs[detector, 8], 1), (costs[segmenter, 8], 1), (costs[classifier, 8], CROPS_A_FRAME)]
        best_ms, processor_ms = sum(part.best_ms * num for part, num in parts), sum(part.processor_ms * num for part, num in parts)
        print(f"{detector} + {segmenter} + {CROPS_A_FRAME} crops, batch 8: {best_ms:.1f} ms best, {processor_ms:.1f} ms processor time")


if __name__ == "__main__":
    main()
