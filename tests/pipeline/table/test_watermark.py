"""The watermark: spans in any order in, spans in log order out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import GenerationFailed
from contracts.position import OffsetRange, TopicPartition
from pipeline.table.watermark import Watermark

P0, P1 = TopicPartition("frames", 0), TopicPartition("frames", 1)


def span(start: int, stop: int, partition: int = 0) -> OffsetRange:
    return OffsetRange("frames", partition, start, stop)


@given(st.data())
def test_any_order_of_finishing_comes_out_in_log_order(data: st.DataObject) -> None:
    spans: list[OffsetRange] = []
    starts = {P0: 5, P1: 0}
    for partition, start in starts.items():
        for length in data.draw(st.lists(st.integers(1, 4), max_size=8)):
            spans.append(span(start, start + length, partition.partition))
            start += length
    watermark: Watermark[int] = Watermark(starts)
    taken: list[OffsetRange] = []
    for number, finished in enumerate(data.draw(st.permutations(spans))):
        watermark.add(finished, number)
        taken += [entry.span for entry in watermark.take_ready()]
        assert watermark.num_waiting == number + 1 - len(taken)
    for partition in starts:
        assert [s for s in taken if s.topic_partition == partition] == [s for s in spans if s.topic_partition == partition]
    watermark.require_no_hole()


def test_items_travel_with_their_span() -> None:
    watermark: Watermark[str] = Watermark({P0: 0})
    watermark.add(span(2, 3), "second")
    assert watermark.take_ready() == []
    watermark.add(span(0, 2), "first")
    assert [entry.item for entry in watermark.take_ready()] == ["first", "second"]
    assert watermark.take_ready() == []
    assert watermark.next_offset(P0) == 3


def test_partitions_do_not_wait_for_each_other() -> None:
    watermark: Watermark[None] = Watermark({P0: 0, P1: 0})
    watermark.add(span(4, 5, 1), None)
    watermark.add(span(0, 1), None)
    assert [entry.span for entry in watermark.take_ready()] == [span(0, 1)]


def test_empty_span_is_ready_at_once() -> None:
    watermark: Watermark[None] = Watermark({P0: 0})
    watermark.add(span(7, 7), None)
    assert [entry.span for entry in watermark.take_ready()] == [span(7, 7)]
    assert watermark.next_offset(P0) == 0


@pytest.mark.parametrize(
    ("before", "bad"),
    [
        pytest.param([(0, 3)], (0, 3), id="the same again"),
        pytest.param([(0, 3)], (2, 4), id="overlaps what is ready"),
        pytest.param([(5, 8)], (5, 6), id="same start as one that waits"),
        pytest.param([(5, 8)], (3, 6), id="reaches into one that waits"),
        pytest.param([(5, 8)], (6, 7), id="inside one that waits"),
        pytest.param([(5, 8)], (4, 9), id="around one that waits"),
    ],
)
def test_overlap_ends_the_generation(before: list[tuple[int, int]], bad: tuple[int, int]) -> None:
    watermark: Watermark[None] = Watermark({P0: 0})
    for start, stop in before:
        watermark.add(span(start, stop), None)
    with pytest.raises(GenerationFailed, match="frames/0"):
        watermark.add(span(*bad), None)


def test_partition_of_somebody_else_ends_the_generation() -> None:
    watermark: Watermark[None] = Watermark({P0: 0})
    with pytest.raises(GenerationFailed, match="frames/0"):
        watermark.add(span(0, 1, partition=1), None)


def test_hole_is_found_at_the_end_and_bounded_before() -> None:
    watermark: Watermark[None] = Watermark({P0: 0}, max_waiting_spans=3)
    for start in (1, 2, 3):
        watermark.add(span(start, start + 1), None)
    with pytest.raises(GenerationFailed, match="starts at frames/0/0, got the next one starts at 1"):
        watermark.require_no_hole()
    with pytest.raises(GenerationFailed, match="at most 3 spans behind a hole"):
        watermark.add(span(4, 5), None)
