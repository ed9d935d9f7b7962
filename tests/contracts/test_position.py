"""Positions and ranges: their spelling, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.position import KafkaPosition, OffsetRange, TopicPartition


def test_positions_are_spelt_as_people_write_them() -> None:
    position = KafkaPosition("frames", 3, 17)
    assert str(position) == "frames/3/17"
    assert str(position.topic_partition) == "frames/3"
    assert position.topic_partition == TopicPartition("frames", 3)


@given(st.text("ab./-_", min_size=1), st.integers(0, 2**31), st.integers(0, 2**63))
def test_what_is_written_is_read(topic: str, partition: int, offset: int) -> None:
    position = KafkaPosition(topic, partition, offset)
    assert KafkaPosition.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "17", "0/17", "/0/17", "frames/0/", "frames//17", "frames/0/-1", "frames/x/17", "frames/0/1.5", "frames/0/٣"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected TOPIC/PARTITION/OFFSET"):
        KafkaPosition.parse(text)


def test_a_range_holds_its_start_and_not_its_stop() -> None:
    span = OffsetRange("frames", 2, 5, 9)
    assert len(span) == 4
    assert len(OffsetRange("frames", 2, 9, 9)) == 0
    assert str(span) == "frames/2 [5, 9)"
    assert span.topic_partition == TopicPartition("frames", 2)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2), (-2, -1)])
def test_a_range_that_runs_backwards_is_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= start <= stop"):
        OffsetRange("frames", 0, start, stop)
