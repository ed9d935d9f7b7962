"""A header name that is no UTF-8: stored by the broker, read by us, and no end of the stream."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer

from contracts.frame import Frame, RawRecord
from contracts.limits import InputLimits
from pipeline.ingest.decode import decode_record
from pipeline.kafka.reader import LogReader
from tests.bad_inputs import GOOD_PNG
from tests.conftest import RealKafka

pytestmark = pytest.mark.broker


class LatinName(str):
    """A name that a producer in another language sends in Latin-1."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_message_with_such_a_name_and_its_neighbours_are_read(kafka: RealKafka, compression: str | None) -> None:
    topic = kafka.new_topic(partitions=1)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, compression_type=compression, linger_ms=50)
    for name in ("plain", LatinName("größe"), "größe"):
        producer.send(topic, key=b"cam-1", value=GOOD_PNG, headers=[(name, b"1"), ("ir_frame", b"5")])
    producer.flush()
    producer.close()
    records: list[RawRecord] = []
    with LogReader(kafka.settings(topic=topic), topic, 0, 0) as reader:
        while len(records) < 3:
            records += reader.poll(10, 5.0)
        assert reader.position == 3
    assert [record.headers[0] for record in records] == [("plain", b"1"), ("gr\\xf6\\xdfe", b"1"), ("größe", b"1")]
    for record in records:
        frame = decode_record(record, InputLimits())
        assert isinstance(frame, Frame)
        assert frame.meta.frame_number == 5
