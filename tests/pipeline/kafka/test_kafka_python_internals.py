"""What irstream uses of kafka-python although it is not documented: each part, and what breaks without it.

A new version of kafka-python is tried against this file first.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import crc32c
import psutil
import pytest
from kafka import KafkaProducer
from kafka import TopicPartition as ClientTopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from contracts.errors import SettingsError
from pipeline.kafka import kafka_python_internals as internals
from pipeline.kafka.client import connect, connect_consumer, open_consumer
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import describe_topic
from tests.certificates import Authority
from tests.conftest import RealKafka

# What takes all its time takes so much longer that no machine is slow enough to mistake the one for the other.
_SOON_S = 120.0
_PATIENCE_S = 240.0


def require(owner: object, name: str, without_it: str) -> None:
    """The part is there."""
    kind = owner if isinstance(owner, type) else type(owner)
    assert hasattr(owner, name), f"kafka-python has no {kind.__name__}.{name} any more. Without it {without_it}."


# --- every client: its connections ------------------------------------------------------------------------------------


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[KafkaSettings]:
    """Something at a port that does one thing to every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield KafkaSettings(bootstrap_servers=f"127.0.0.1:{listener.getsockname()[1]}", connect_timeout_s=_PATIENCE_S)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(_SOON_S)


def tls_server(folder: Path) -> Callable[[socket.socket], None]:
    """Shakes hands as a broker whose certificate nobody knows."""
    certificate = Authority(folder, "authority-of-nobody").sign("broker")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem, certificate.key)

    def answer(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as speaking:
                speaking.recv(1)
        except OSError:
            pass

    return answer


@pytest.mark.parametrize("kind", [KafkaTCPTransport, KafkaSSLTransport])
def test_without_sock_recv_the_last_answer_of_a_broker_that_closes_is_lost(kind: type) -> None:
    without_it = "nobody learns why a broker has refused a client: it closes right after it has said so"
    require(kind, "_sock_recv", without_it)
    with pytest.raises(AssertionError, match=rf"kafka-python has no {kind.__name__}\.gone any more\. Without it nobody learns why"):
        require(kind, "gone", without_it)


def test_what_came_before_the_end_is_handed_over_first() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(b"the reason")
    theirs.close()
    with closing(internals._PlainTransport(NetworkSelector(), ours)) as transport:
        assert transport._sock_recv() == (b"the reason", None)
        data, error = transport._sock_recv()
        assert data == b""
        assert isinstance(error, KafkaConnectionError)


def test_without_auth_failures_a_start_that_is_refused_takes_all_its_time(tmp_path: Path) -> None:
    without_it = "a start with a wrong password or certificate ends after kafka.connect_timeout_s only, and says just that the time is up"
    require(KafkaConnectionManager, "_connect", without_it)
    require(KafkaConnectionManager(NetworkSelector()), "_auth_failures", without_it)
    began = time.monotonic()
    with server(tls_server(tmp_path)) as settings, pytest.raises(SettingsError, match=r"signed by another one.*IRSTREAM_KAFKA__SSL_CAFILE"):
        open_consumer(settings.model_copy(update={"security_protocol": "SSL"}))
    assert time.monotonic() - began < _SOON_S


def test_a_tls_alert_in_answer_to_plain_text_is_told_at_once() -> None:
    def alert(connection: socket.socket) -> None:
        connection.recv(4)
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    began = time.monotonic()
    with server(alert) as settings, pytest.raises(SettingsError, match=r"kafka\.security_protocol.*an answer in TLS"):
        open_consumer(settings)
    assert time.monotonic() - began < _SOON_S


def test_without_build_transport_a_refused_handshake_leaves_a_socket_open(tmp_path: Path) -> None:
    require(KafkaConnectionManager, "_build_transport", "sockets whose handshake failed stay open until the garbage collector comes")
    with server(tls_server(tmp_path)) as settings:
        with pytest.raises(SettingsError):
            open_consumer(settings.model_copy(update={"security_protocol": "SSL"}))
        port = int(settings.bootstrap_servers.rpartition(":")[2])
        assert [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port] == []


def test_without_the_config_of_the_cluster_asking_for_a_misspelt_topic_creates_it() -> None:
    client = internals.make_net_client(lambda _: False, bootstrap_servers="127.0.0.1:1")
    try:
        assert client.cluster.metadata_request().allow_auto_topic_creation is False
    finally:
        client.close()


# --- consumers --------------------------------------------------------------------------------------------------------


@pytest.mark.broker
def test_without_cluster_a_reader_does_not_notice_a_topic_that_was_deleted_and_made_again(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=1)
    with closing(connect_consumer(kafka.settings())) as consumer:
        require(consumer, "_cluster", "a reader goes on in another topic of the same name")
        consumer.assign([ClientTopicPartition(topic, 0)])
        consumer.end_offsets([ClientTopicPartition(topic, 0)], timeout_ms=5000)
        assert internals.known_topic_id(consumer, topic) == UUID(describe_topic(kafka.settings(), topic).topic_id)
        assert internals.known_topic_id(consumer, "no-such-topic") is None


class _Noting(AsyncConsumerRebalanceListener):
    """Sleeps in a listener and notes for how long the client has let it."""

    def __init__(self, consumer: object) -> None:
        self.consumer = consumer
        self.slept_s: list[float] = []

    async def on_partitions_revoked(self, revoked: object) -> None:
        pass

    async def on_partitions_assigned(self, assigned: object) -> None:
        began = time.monotonic()
        await internals.sleep(self.consumer, 0.3)
        self.slept_s.append(time.monotonic() - began)


@pytest.mark.broker
def test_without_net_and_coordinator_a_driver_does_not_get_through_a_rebalance(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=2)
    group = {"group_id": f"internals-{topic}", "partition_assignment_strategy": [RangePartitionAssignor]}
    with closing(connect_consumer(kafka.settings(), **group)) as consumer:
        require(consumer, "_net", "a driver that waits for its rows to be visible sends no heartbeats and loses its partitions")
        require(consumer, "_coordinator", "a driver whose group changes during a poll hangs without partitions")
        for name in ("rejoining", "rejoin_needed", "request_rejoin"):
            require(consumer._coordinator, name, "a driver whose group changes during a poll hangs without partitions")
        listener = _Noting(consumer)
        consumer.subscribe([topic], listener=listener)
        deadline = time.monotonic() + _PATIENCE_S
        while len(consumer.assignment()) < 2 and time.monotonic() < deadline:
            consumer.poll(timeout_ms=100)
            internals.finish_joining(consumer)
        assert {each.partition for each in consumer.assignment()} == {0, 1}
        assert listener.slept_s
        assert min(listener.slept_s) >= 0.3
        # Joined: nothing is asked for. A join through that a poll has begun and not ended is asked for again.
        assert consumer._coordinator.rejoin_needed is False
        internals.finish_joining(consumer)
        assert consumer._coordinator.rejoin_needed is False
        consumer._coordinator.rejoining = True
        internals.finish_joining(consumer)
        assert consumer._coordinator.rejoin_needed is True


class _LatinName(str):
    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


def test_without_read_msg_and_the_patch_one_header_name_stops_a_partition() -> None:
    require(DefaultRecordBatch, "_read_msg", "a header name that is no UTF-8 stops its partition for good")
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=2**16
    )
    for offset, name in enumerate(("plain", _LatinName("größe"), "größe")):
        builder.append(offset, timestamp=1, key=b"key", value=b"value", headers=[(name, b"1")])
    internals.accept_any_header_name()
    batch = MemoryRecords(bytes(builder.build())).next_batch()
    assert isinstance(batch, internals._TolerantRecordBatch), "kafka-python no longer makes batches of memory_records.DefaultRecordBatch"
    assert [record.headers for record in batch] == [[("plain", b"1")], [("gr\\xf6\\xdfe", b"1")], [("größe", b"1")]]


def test_without_the_name_of_the_native_crc_a_slow_one_goes_unnoticed() -> None:
    assert internals.native_crc() is crc32c.crc32c, "kafka-python keeps its CRC elsewhere: 160 messages of 64 KiB a second may be the limit"


# --- producers --------------------------------------------------------------------------------------------------------


@pytest.mark.broker
def test_without_sender_a_producer_overtakes_itself_after_a_lost_batch_or_never_ends(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=1)
    producer = connect(KafkaProducer, kafka.settings(), linger_ms=60_000, metrics_enabled=False)
    require(producer, "_sender", "messages may overtake each other after a lost batch, and a producer that hangs cannot be replaced")
    future = producer.send(topic, b"value")
    assert not future.is_done
    internals.stop_sending(producer)
    internals.join_sender(producer, _SOON_S)
    assert not producer._sender.is_alive()
    assert isinstance(future.exception, KafkaError)
    producer.close(timeout=0)
