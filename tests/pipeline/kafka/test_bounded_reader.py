"""A reader up to an offset: offsets without a record lead it neither past its end nor into a wait for what is behind."""

from __future__ import annotations

from pipeline.kafka.bounded_reader import BoundedReader
from pipeline.kafka.memory_topic import MemoryReader, MemoryTopic
from tests.pipeline.runtime.memory_stream import frames


def test_what_lies_behind_the_end_is_left_out() -> None:
    topic = MemoryTopic({0: [*frames(3), None, None, None, *frames(4)]})
    reader = BoundedReader(MemoryReader(topic, 0, 1), 5)
    assert [record.position.offset for record in reader.poll(10, 0.1)] == [1, 2]
    assert reader.position == 5
    reader.seek_to(3)
    assert reader.poll(2, 0.1) == [], "the next two records stand at 6 and 7"
    assert reader.position == 5
