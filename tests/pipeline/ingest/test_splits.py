"""Pieces of a bounded read: together they are the range, and none is too large."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contracts.limits import InputLimits
from contracts.position import OffsetRange
from pipeline.ingest.interfaces import ReadPlan
from pipeline.ingest.read_coordinator import ReadCoordinator, ReadOrder
from pipeline.ingest.splits import SplitRules, cut
from pipeline.settings import StreamSettings


@given(
    st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(1, 400)), min_size=1),
    st.integers(1, 4),
    st.integers(1, 5000),
    st.integers(1, 300),
    st.sets(st.integers(0, 5)),
    st.booleans(),
)
def test_pieces_are_the_range_and_bounded(
    ranges: dict[int, tuple[int, int]], readers: int, split_bytes: int, rows: int, whole: set[int], every_third: bool
) -> None:
    starts = {partition: start for partition, (start, _) in ranges.items()}
    stops = {partition: start + num for partition, (start, num) in ranges.items()}
    selected = {partition: tuple(range(start, stops[partition], 3)) for partition, start in starts.items()} if every_third else None
    rules = SplitRules(readers, split_bytes, rows, dict.fromkeys(starts, 100.0), frozenset(whole))
    splits = cut("frames", starts, stops, rules, selected)
    for partition, start in starts.items():
        spans = sorted(span for span in splits.spans if span.partition == partition)
        assert (spans[0].start, spans[-1].stop) == (start, stops[partition])
        assert all(one.stop == next_one.start for one, next_one in pairwise(spans))
        if partition in whole:
            assert len(spans) == 1
        elif selected is None:
            assert max(map(len, spans)) <= max(1, min(split_bytes // 100, rows // (4 * readers)))
        else:
            assert all(span.start in selected[partition] for span in spans)
        plan = ReadPlan("frames", "1", starts, stops, StreamSettings(), InputLimits(), selected or {}, splits)
        for part in (each for epoch in range(len(splits.epochs)) for each in plan.parts(epoch)):
            span, own = splits.spans[part.number], plan.for_part(part).selected_offsets
            offsets = [] if selected is None else [each for each in selected[part.partition] if span.start <= each < span.stop]
            assert own == ({} if selected is None else {part.partition: (*offsets, *own[part.partition][len(offsets) :])})
            assert all(len(each) <= len(offsets) + 1 for each in own.values())
        for number, span in enumerate(splits.spans):
            assert splits.number_of(OffsetRange("frames", span.partition, span.stop - 1, span.stop)) == number
    assert [number for epoch in splits.epochs for number in epoch] == list(range(len(splits.spans)))


def test_a_piece_too_far_ahead_waits_for_the_first_that_is_not_finished() -> None:
    async def scenario() -> list[int]:
        order = ReadOrder(num_readers=2, first_epochs=dict.fromkeys(range(6), 0), in_order=(0, 1, 3, 4, 5), window=2)
        coordinator = ReadCoordinator({number: 10 * number for number in range(6)}, 1, 100, order)
        claims = [asyncio.ensure_future(coordinator.claim(0, number)) for number in range(6)]
        begun = []
        for over in (1, 0, 3, None):
            await asyncio.sleep(0.01)
            begun.append(sum(claim.done() for claim in claims))
            if over is not None:
                await coordinator.finish(0, over, 10 * over + 10, holds_slot=False)
        return begun

    # 0, 1, and 2 which holds nobody back; 1 is over but 0 is not; then 3 and 4; then 5.
    assert asyncio.run(scenario()) == [3, 3, 5, 6]
