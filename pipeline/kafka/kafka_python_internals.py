"""Everything of kafka-python that irstream uses although it is not documented: private attributes, modules, one patch.

No other module of irstream touches them (ruff's SLF001 keeps private attributes out). Each has a test in
tests/pipeline/kafka/test_kafka_python_internals.py that says what breaks when a new version no longer has it, and
pyproject.toml bounds the version for their sake. docs/adr/0016 weighs them against another client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.record import memory_records, util
from kafka.record.default_records import DefaultRecordBatch

from pipeline.kafka.header_names import TolerantBuffer

_TLS_ALERT = b"\x15\x03"  # content type and major version (RFC 8446, 5.1); as a length of Kafka it would be 336 MB


# --- every client: its connections ------------------------------------------------------------------------------------


class _LastWords:
    """A transport that hands over what came before the connection was closed; kafka-python drops it when both come at once.

    It is the answer that says why: a broker closes right after it.
    """

    _heard = False

    def _sock_recv(self) -> tuple[bytes, KafkaError | None]:
        receive: Callable[[], tuple[bytes, KafkaError | None]] = super()._sock_recv  # type: ignore[misc]
        data, error = receive()
        if not self._heard and data.startswith(_TLS_ALERT):
            return b"", KafkaConnectionError("a TLS alert")
        self._heard = True
        return data, None if data else error  # the closed socket says so again at the next read


class _PlainTransport(_LastWords, KafkaTCPTransport):
    pass


class _TLSTransport(_LastWords, KafkaSSLTransport):
    _heard = True  # alerts are TLS's own business here


class FailFastManager(KafkaConnectionManager):
    """Ends a bootstrap once every server of `bootstrap_servers` has refused us for good; kafka-python goes on trying."""

    def __init__(self, net: Any, is_final: Callable[[KafkaError], bool], **configs: Any) -> None:
        """As kafka-python's own.

        Args:
            net: the loop of the client.
            is_final: whether no other attempt can change this error.
            configs: options of the client.
        """
        super().__init__(net, **configs)
        self._is_final = is_final
        self._refusals: dict[str, KafkaError] = {}

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> KafkaTCPTransport:
        """As kafka-python's own, with transports of ours; and a socket whose handshake fails is closed, not left to the collector."""
        options = self.config["socket_options"]
        sock = await create_connection(self._net, node.host, node.port, options, proxy_url=self.config["proxy_url"], timeout_at=timeout_at)
        transport = None
        try:
            if self.ssl_enabled:
                files = {key: value for key, value in self.config.items() if key.startswith("ssl_")}
                transport = _TLSTransport(self._net, sock, host=node.host, **files)
            else:
                transport = _PlainTransport(self._net, sock, host=node.host)
            await transport.handshake()
        except BaseException as error:  # also the end of the loop during a handshake
            (sock if transport is None else transport).close()
            if isinstance(error, Exception):
                raise KafkaConnectionError(f"Handshake failed: {error}") from error
            raise
        return transport

    async def _connect(self, node: Any, conn: Any, **options: Any) -> None:
        await super()._connect(node, conn, **options)
        if not self.cluster.is_bootstrap(node.node_id):
            return
        error = conn.init_future.exception if conn.init_future.failed() else None
        if error is None or not self._is_final(error):
            self._refusals.pop(node.node_id, None)
            return
        self._refusals[node.node_id] = error
        if {server.node_id for server in self.cluster.bootstrap_brokers()} <= set(self._refusals):
            # The next attempt to connect raises what is noted here, out of the bootstrap.
            self._auth_failures.update(self._refusals)


def make_net_client(is_final: Callable[[KafkaError], bool], **configs: Any) -> KafkaNetClient:
    """The connections of one client, for its option `kafka_client`: they fail fast and never create a topic by asking for it.

    Args:
        is_final: as of `FailFastManager`.
        configs: what kafka-python hands over.
    """
    net = NetworkSelector(**configs)
    manager = FailFastManager(net, is_final, **configs)
    # kafka-python does not pass its option on: asking for a misspelt topic would create it.
    manager.cluster.config["allow_auto_create_topics"] = False
    return KafkaNetClient(net, manager)


# --- consumers --------------------------------------------------------------------------------------------------------


def known_topic_id(consumer: KafkaConsumer, topic: str) -> UUID | None:
    """The id in the metadata that the consumer refreshes in the background; None when the topic is gone."""
    found: UUID | None = consumer._cluster.topic_id(topic)
    return found if found is not None and found.int != 0 else None


async def sleep(consumer: KafkaConsumer, seconds: float) -> None:
    """Wait inside an asynchronous listener, while the loop of the client goes on sending heartbeats."""
    await consumer._net.sleep(seconds)


def finish_joining(consumer: KafkaConsumer) -> None:
    """Have the next poll see a join through that the last one has begun.

    kafka-python 3.0.12 rejoins after a change of partitions only as long as it sees the change; an answer that comes after the end of the
    poll makes the change known, and is then never looked at: no assignment, no heartbeat, and every poll returns at once, for ever.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining and not coordinator.rejoin_needed:
        coordinator.request_rejoin()


class _TolerantRecordBatch(DefaultRecordBatch):
    """kafka-python's batch, which reads a record again tolerantly when the name of a header is no UTF-8."""

    _buffer: bytearray

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            # The position moves only when a record has been read whole, so it can be read again from its start.
            self._buffer = TolerantBuffer(self._buffer)
            return super()._read_msg()


def accept_any_header_name() -> None:
    """Make every consumer of this process read batches tolerantly. Does nothing the second time."""
    memory_records.DefaultRecordBatch = _TolerantRecordBatch


def native_crc() -> Callable[[bytes], int] | None:
    """The CRC-32C in C that kafka-python has found; None when it computes in Python."""
    found: Callable[[bytes], int] | None = getattr(util, "crc32c_c", None)
    return found


# --- producers --------------------------------------------------------------------------------------------------------


def stop_sending(producer: KafkaProducer) -> None:
    """Have a producer send nothing more and end its thread soon; may be called by that thread."""
    producer._sender.force_close()


def join_sender(producer: KafkaProducer, timeout_s: float) -> None:
    """Wait for the end of a producer's thread, at most so long."""
    producer._sender.join(timeout_s)
