"""What the way through an actor costs beside its network: throughput against the bare network, and CPU time per frame.

    python -m benchmarks.batcher --task segmentation --model acm

Rounds of both kinds alternate in one process, so that a busy machine slows both; the median ratio is the result.
The bare network gets ready tensors of full batches; the actor gets packed blocks as the stream sends them, and does
everything itself: unpacking, turning counts into floats, batching, postprocessing, splitting back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from actors.batching.batcher import DynamicBatcher
from actors.detector import DetectorActor
from actors.frame_actor import FrameActor
from actors.model_actor import size_of, stack_pixels
from actors.segmenter import SegmenterActor
from actors.settings import BatchPolicy, ModelActorSettings
from contracts.block import FrameBlock, pack_block, unpack_block
from contracts.frame import ContentType, Frame, FrameMeta
from contracts.position import KafkaPosition, OffsetRange
from models.interface import MetadataBatch, Task
from models.normalisation import measure

ACTORS: dict[str, type[FrameActor[Any, Any]]] = {Task.DETECTION: DetectorActor, Task.SEGMENTATION: SegmenterActor}


@dataclass(frozen=True, slots=True)
class Plan:
    """What one round computes."""

    batch: int
    frames_per_block: int
    blocks: int
    callers: int
    side_px: int
    rounds: int

    @property
    def frames(self) -> int:
        """Frames of one round."""
        return self.blocks * self.frames_per_block


def make_block(plan: Plan) -> pa.Table:
    """A block of 16-bit noise with a few bright spots in each frame."""
    rng = np.random.default_rng(0)
    frames = []
    for offset in range(plan.frames_per_block):
        pixels_HW = rng.normal(2000, 60, (plan.side_px, plan.side_px)).astype(np.uint16)
        for y, x in rng.integers(8, plan.side_px - 8, (3, 2)):
            pixels_HW[y : y + 3, x : x + 3] = 4000
        meta = FrameMeta(sensor_id="bench", frame_id=str(offset), captured_at=datetime.now(UTC), content_type=ContentType.RAW)
        position = KafkaPosition("frames", 0, offset)
        frames.append(Frame(position, meta, pixels_HW, 14, measure(pixels_HW, 14), datetime.now(UTC)))
    return pack_block(FrameBlock(OffsetRange("frames", 0, 0, len(frames)), tuple(frames), (), None, 0, datetime.now(UTC), 0.0, 0))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one frame: seconds on the clock and seconds of CPU (all threads)."""

    wall_s: float
    cpu_s: float


@contextmanager
def costing(frames: int) -> Iterator[list[Cost]]:
    """Measure what happens inside; the list holds the cost afterwards."""
    found: list[Cost] = []
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield found
    found.append(Cost((time.perf_counter() - wall_s) / frames, (time.process_time() - cpu_s) / frames))


def bare_round(actor: FrameActor[Any, Any], block: pa.Table, plan: Plan) -> Cost:
    """Cost of the network and its postprocessing alone, on ready tensors, on as many threads as the actor's."""
    inference = actor.loaded.inference
    frames = unpack_block(block).frames
    chosen = [frames[index % len(frames)] for index in range(plan.batch)]
    shape = (plan.side_px, plan.side_px)
    pixels_B1HW = stack_pixels([frame.pixels_HW for frame in chosen], [frame.normalisation for frame in chosen], shape, inference.device)
    metadata = MetadataBatch.of(chosen)

    batches = max(1, plan.frames // plan.batch)
    with costing(batches * plan.batch) as cost:
        for _ in range(batches):
            inference.model.postprocess(inference.forward(pixels_B1HW, metadata), [shape] * plan.batch)
    return cost[0]


async def actor_round(actor: FrameActor[Any, Any], block: pa.Table, plan: Plan) -> Cost:
    """Cost from packed blocks to replies, with some callers at a time."""
    left = iter(range(plan.blocks))

    async def caller() -> None:
        for _ in left:
            await actor.run(block)

    with costing(plan.frames) as cost:
        await asyncio.gather(*(caller() for _ in range(plan.callers)))
    return cost[0]


async def compare(actor: FrameActor[Any, Any], plan: Plan) -> dict[str, float]:
    """Medians over alternating rounds, after one of each to warm up."""
    block = make_block(plan)
    rounds = [(bare_round(actor, block, plan), await actor_round(actor, block, plan)) for _ in range(plan.rounds + 1)]
    await actor.close()
    bare, acted = zip(*rounds[1:], strict=True)
    ratios = [one.wall_s / other.wall_s for one, other in rounds[1:]]
    return {
        "bare_fps": round(1 / statistics.median(one.wall_s for one in bare), 1),
        "actor_fps": round(1 / statistics.median(one.wall_s for one in acted), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "bare_cpu_us_per_frame": round(statistics.median(one.cpu_s for one in bare) * 1e6),
        "overhead_cpu_us_per_frame": round(statistics.median(other.cpu_s - one.cpu_s for one, other in rounds[1:]) * 1e6),
    }


def preparation(block: pa.Table, plan: Plan) -> dict[str, float]:
    """Microseconds of CPU a frame costs before the network: unpacking the block, and becoming part of a batch."""
    shape = (plan.side_px, plan.side_px)
    unpacked, stacked = [], []
    for _ in range(50):
        with costing(plan.frames_per_block) as unpacking:
            frames = unpack_block(block).frames
        with costing(plan.frames_per_block) as stacking:
            stack_pixels([one.pixels_HW for one in frames], [one.normalisation for one in frames], shape, torch.device("cpu"))
        unpacked.append(unpacking[0].cpu_s * 1e6)
        stacked.append(stacking[0].cpu_s * 1e6)
    return {"unpack_us_per_frame": round(statistics.median(unpacked), 1), "stack_us_per_frame": round(statistics.median(stacked), 1)}


async def batcher_alone(plan: Plan) -> float:
    """Microseconds of CPU an item costs in the batcher itself: the network does nothing."""

    def nothing(key: Hashable, items: Sequence[int]) -> Sequence[int]:
        return items

    size = size_of((plan.side_px, plan.side_px))
    policy = BatchPolicy(max_batch_size=plan.batch, max_batch_pixels=1 << 40, max_wait_s=0.001, max_queue_bytes=1 << 40)
    num_blocks = 2000
    with ThreadPoolExecutor(1) as executor:
        batcher = DynamicBatcher(nothing, lambda _: size, policy, executor)
        left = iter(range(num_blocks))

        async def caller() -> None:
            for _ in left:
                await batcher.submit(range(plan.frames_per_block))

        start_s = time.process_time()
        await asyncio.gather(*(caller() for _ in range(plan.callers)))
        spent_s = time.process_time() - start_s
        await batcher.close()
    return spent_s / (num_blocks * plan.frames_per_block) * 1e6


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(ACTORS), default=Task.SEGMENTATION.value)
    parser.add_argument("--model", default="acm")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames-per-block", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=8, help="per round")
    parser.add_argument("--callers", type=int, default=4, help="blocks in flight")
    parser.add_argument("--side-px", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    plan = Plan(given.batch, given.frames_per_block, given.blocks, given.callers, given.side_px, given.rounds)
    settings = ModelActorSettings(model=given.model, threads=given.threads, warm_up_px=((given.side_px, given.side_px),))
    actor = ACTORS[given.task](settings, BatchPolicy(max_batch_size=plan.batch, max_batch_pixels=plan.batch * plan.side_px**2))
    host = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability(), "cores": len(os.sched_getaffinity(0))}
    load = {"load_average": round(os.getloadavg()[0], 1)}
    torch.set_num_threads(actor.stats()["threads"])
    alone = preparation(make_block(plan), plan) | {"batcher_us_per_item": round(asyncio.run(batcher_alone(plan)), 1)}
    start = actor.stats()
    found = asyncio.run(compare(actor, plan))
    end = actor.stats()
    about = {name: start[name] for name in ("task", "model", "device", "dtype", "threads")}
    print(json.dumps(host | load | vars(given) | about | found | alone | {"batch_sizes": end["batch_sizes"]}, indent=2))


if __name__ == "__main__":
    main()
