"""A block's way through the networks, with networks that answer by rule instead of by weights."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.reply import SegmenterReply
from contracts.block import FrameBlock, pack_block
from contracts.errors import RejectReason, RetryLater
from contracts.frame import ContentType, Frame, FrameMeta, Normalisation
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import DeadLetter, FrameResult, Gap, Outcome
from pipeline.inference.router import ModelHandles, RoutedBlock, Router
from pipeline.inference.rules import LiveRules
from pipeline.settings import StreamSettings
from tests.actors.virtual_time import run_virtual
from tests.pipeline.inference.rule_networks import RuleNetworks

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def frame(offset: int, mark: int) -> Frame:
    meta = FrameMeta(sensor_id="cam", frame_id=f"f{offset}", captured_at=NOW, content_type=ContentType.PNG, headers={"note": "x"})
    pixels_HW = np.full((8, 64), mark, np.uint8)
    return Frame(KafkaPosition("frames", 0, offset), meta, pixels_HW, 8, Normalisation(0.0, 1.0), NOW, decode_ms=0.5)


def block(frames: Sequence[Frame], *, stop: int, rejections: Sequence[DeadLetter] = (), gap_stop: int | None = None) -> pa.Table:
    span = OffsetRange("frames", 0, 0, stop)
    return pack_block(FrameBlock(span, tuple(frames), tuple(rejections), gap_stop, 0, NOW + timedelta(seconds=1), 0.25, 100))


def route(table: pa.Table, networks: RuleNetworks, **settings: Any) -> RoutedBlock:
    async def fetch(ref: pa.Table) -> pa.Table:
        return ref

    return asyncio.run(Router(networks.handles(), StreamSettings(**settings), LiveRules()).route(table, fetch))


def by_offset(outcomes: Sequence[Outcome]) -> dict[int, Outcome]:
    return {outcome.position.offset: outcome for outcome in outcomes}


def test_every_frame_gets_its_own_detections_with_class_and_times() -> None:
    networks = RuleNetworks()
    routed = route(block([frame(0, 2), frame(1, 0), frame(2, 1)], stop=3), networks)
    results = by_offset(routed.outcomes)
    assert [len(item.detections) for item in results.values() if isinstance(item, FrameResult)] == [2, 0, 1]
    first = results[0]
    assert isinstance(first, FrameResult)
    assert {detection.label for detection in first.detections} == {"drone"}
    assert [model.task for model in first.models] == ["detection", "segmentation", "classification"]
    times = first.stage_ms
    assert (times.read, times.decode, times.wait, times.detect, times.segment, times.classify) == (0.25, 0.5, 2.0, 2.0, 2.0, 2.0)
    assert (first.sensor_id, first.frame_id, first.headers, first.width_px, first.height_px) == ("cam", "f0", {"note": "x"}, 64, 8)
    assert networks.classified == [[2, 0, 1]]
    assert routed.read_bytes == 100


def test_what_a_row_says_does_not_depend_on_its_neighbours() -> None:
    together = route(block([frame(0, 0), frame(1, 2)], stop=2), RuleNetworks()).outcomes[0]
    alone = route(block([frame(0, 0)], stop=1), RuleNetworks()).outcomes[0]
    assert isinstance(together, FrameResult)
    assert isinstance(alone, FrameResult)
    assert [model.task for model in together.models] == [model.task for model in alone.models] == ["detection", "segmentation"]


def test_a_block_without_targets_does_not_call_the_classifier() -> None:
    networks = RuleNetworks()
    routed = route(block([frame(0, 0)], stop=1), networks)
    assert networks.classified == []
    (result,) = routed.outcomes
    assert isinstance(result, FrameResult)
    assert [model.task for model in result.models] == ["detection", "segmentation"]


@pytest.mark.parametrize(("mark", "text"), [(255, "boom"), (254, "bang"), (253, "crash")])
def test_a_frame_that_poisons_any_network_is_rejected_alone(mark: int, text: str) -> None:
    routed = route(block([frame(0, 1), frame(1, mark), frame(2, 1)], stop=3), RuleNetworks())
    results = by_offset(routed.outcomes)
    poisoned = results[1]
    assert isinstance(poisoned, DeadLetter)
    assert poisoned.reason is RejectReason.POISON
    assert text in poisoned.detail
    assert (poisoned.sensor_id, poisoned.width_px, poisoned.bit_depth) == ("cam", 64, 8)
    assert isinstance(results[0], FrameResult)
    assert isinstance(results[2], FrameResult)


def test_rejections_and_gaps_keep_their_place() -> None:
    letter = DeadLetter(KafkaPosition("frames", 0, 6), RejectReason.TOMBSTONE, "x", NOW, NOW)
    routed = route(block([frame(5, 0), frame(7, 0)], stop=8, rejections=[letter], gap_stop=5), RuleNetworks())
    assert [type(outcome) for outcome in routed.outcomes] == [Gap, FrameResult, DeadLetter, FrameResult]
    gap = routed.outcomes[0]
    assert isinstance(gap, Gap)
    assert (gap.position.offset, gap.stop) == (0, 5)


def test_a_block_of_markers_only_accounts_for_its_offsets_without_a_row() -> None:
    networks = RuleNetworks()
    routed = route(block([], stop=4), networks)
    assert routed.outcomes == ()
    assert len(routed.span) == 4


@pytest.fixture
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The router's clock is that of the loop it runs on, so that `run_virtual` is the time of both."""

    def now_s() -> float:
        return asyncio.get_running_loop().time()

    monkeypatch.setattr("pipeline.inference.router.time", SimpleNamespace(monotonic=now_s, perf_counter=now_s))


async def fetch(ref: pa.Table) -> pa.Table:
    return ref


@pytest.mark.usefixtures("virtual_clock")
def test_networks_that_do_not_answer_end_the_generation() -> None:
    async def scenario() -> RoutedBlock:
        router = Router(RuleNetworks(delay_s=30).handles(), StreamSettings(model_timeout_s=5.0), LiveRules())
        return await router.route(block([frame(0, 0)], stop=1), fetch)

    with pytest.raises(RetryLater, match="within 5 s"):
        run_virtual(scenario())


class BothSlow(RuleNetworks):
    """The segmenter takes as long as the detector."""

    async def segment(self, block: Any) -> SegmenterReply:
        await asyncio.sleep(self.delay_s)
        return await super().segment(block)


@pytest.mark.usefixtures("virtual_clock")
@pytest.mark.parametrize(
    ("first_s", "second_s", "answered"), [(10.0, 99.0, True), (10.0, 101.0, False), (1.0, 19.0, True), (1.0, 21.0, False)]
)
def test_ten_times_the_slowest_answer_is_waited_for(first_s: float, second_s: float, answered: bool) -> None:
    """A network that has needed 10 s is not dead after 99 s, whatever the setting (20 s here); one that was quick is."""

    async def scenario() -> RoutedBlock:
        networks = BothSlow(delay_s=first_s)
        router = Router(networks.handles(), StreamSettings(model_timeout_s=20.0), LiveRules())
        await router.route(block([frame(0, 0)], stop=1), fetch)
        await asyncio.sleep(0.5)
        networks.delay_s = second_s
        try:
            return await router.route(block([frame(0, 0)], stop=1), fetch)
        finally:
            assert not router.computing

    with nullcontext() if answered else pytest.raises(RetryLater, match=rf"within {max(20, 10 * first_s):g} s"):
        assert len(run_virtual(scenario()).outcomes) == 1


@pytest.mark.usefixtures("virtual_clock")
def test_slow_networks_that_answer_others_are_waited_for() -> None:
    async def scenario() -> None:
        slow, quick = RuleNetworks(delay_s=50.0), RuleNetworks(delay_s=0.5)
        router = Router(ModelHandles(slow.detect, quick.segment, quick.classify), StreamSettings(model_timeout_s=6.0), LiveRules())
        table = block([frame(0, 0)], stop=1)
        waiting = asyncio.ensure_future(router.route(table, fetch))
        while not waiting.done():
            # Others are answered meanwhile, by networks of the same router.
            await router._in_time("detector", quick.detect(table))
        assert len(waiting.result().outcomes) == 1

    run_virtual(scenario())
