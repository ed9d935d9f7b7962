"""Which partitions the ids of sensors fall into."""

from __future__ import annotations

from pipeline.kafka.topics import partitions_of


def test_ids_are_divided_as_kafkas_producers_do() -> None:
    # murmur2 of these keys, by Kafka's own UtilsTest: 21 -> -973932308, foobar -> -790332482, a-little-bit-long-string -> -985981536.
    assert (-973932308 & 0x7FFFFFFF) % 4 == 0
    assert (-790332482 & 0x7FFFFFFF) % 4 == 2
    assert (-985981536 & 0x7FFFFFFF) % 4 == 0
    assert partitions_of(["21", "foobar", "a-little-bit-long-string"], (0, 1, 2, 3)) == {0: 2, 2: 1}
