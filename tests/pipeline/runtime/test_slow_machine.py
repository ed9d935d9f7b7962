"""A machine that takes minutes for a frame of 2048 x 2048: slow is not dead."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from actors.reply import DetectorReply, SegmenterReply
from contracts.block import unpack_block
from contracts.codecs import encode_pixels
from contracts.errors import StopPipeline
from contracts.frame import ContentType
from pipeline.kafka.memory_topic import MemoryTopic, Message
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.runtime.memory_stream import MemoryStream, frames

_SIDE_PX = 2048
_FRAME_S = 100.0


class SlowNetworks(RuleNetworks):
    """One block at a time, each frame 100 s of a clock that goes on by ten whenever the waiting stream looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.blocks: list[int] = []
        self._one = asyncio.Lock()

    def monotonic(self) -> float:
        if threading.current_thread() is threading.main_thread():
            self.now_s += 10.0
        return self.now_s

    async def detect(self, block: Any) -> DetectorReply:
        num = len(unpack_block(block).frames)
        self.blocks.append(num)
        await self._compute(num)
        return await super().detect(block)

    async def segment(self, block: Any) -> SegmenterReply:
        await self._compute(len(unpack_block(block).frames))
        return await super().segment(block)

    async def _compute(self, num: int) -> None:
        async with self._one:
            until_s = self.now_s + _FRAME_S / 2 * num
            while self.now_s < until_s:
                await asyncio.sleep(0.01)


def test_blocks_are_bounded_by_pixels_and_nothing_gives_up_while_networks_compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog that takes ten minutes, where a stop waits one for what does not move, and two for silent networks."""
    value = encode_pixels(np.full((_SIDE_PX, _SIDE_PX), 7, np.uint8), ContentType.PNG)
    topic = MemoryTopic({0: [Message(b"cam", value, (), round(time.time() * 1000) + number) for number in range(6)]})
    networks = SlowNetworks()
    clock = SimpleNamespace(monotonic=networks.monotonic, perf_counter=networks.monotonic)
    monkeypatch.setattr("pipeline.runtime.generation.time", clock)
    monkeypatch.setattr("pipeline.inference.router.time", clock)
    stream = MemoryStream(
        topic, tmp_path, networks.handles(), block_max_frames=16, in_flight_blocks=2, drain_timeout_s=60.0, model_timeout_s=120.0
    )
    summary = stream.catch_up()
    assert (summary.drained, summary.progress.generation, summary.progress.frames_out) == (True, 1, 6), summary.progress.note
    assert stream.offsets() == {0: list(range(6))}
    assert networks.blocks == [1] * 6, "frames of each block: one of 4 million pixels, for a second one passes 6 million"
    assert networks.now_s >= 6 * _FRAME_S


class LateNetworks(RuleNetworks):
    """Each call takes a second from the beginning, however often it was given up; whoever never waits so long is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def detect(self, block: Any) -> DetectorReply:
        self.calls += 1
        if self.calls > 12:
            raise StopPipeline(expected="an answer that is waited for", got="12 calls", where="test", action="Wait longer.")
        await asyncio.sleep(1.0)
        return await super().detect(block)


def test_a_call_that_takes_longer_than_the_time_out_is_waited_for_in_the_end(tmp_path: Path) -> None:
    networks = LateNetworks()
    stream = MemoryStream(MemoryTopic({0: frames(3)}), tmp_path, networks.handles(), model_timeout_s=0.1)
    summary = stream.catch_up()
    assert (summary.drained, summary.progress.frames_out) == (True, 3), summary.progress.note
    assert stream.offsets() == {0: [0, 1, 2]}
