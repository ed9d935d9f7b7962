"""A producer that survives what kills or hangs kafka-python's: every message is written at least once, in order.

kafka-python's idempotent producer (the only one that keeps order over an outage) hangs for ever after a batch expired,
and is dead after a fatal answer of the broker. This one keeps every message until it is acknowledged, and when that
happens it makes a new producer and sends again what was not acknowledged.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from kafka import KafkaProducer
from kafka.errors import (
    AuthorizationError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)
from kafka.producer.future import RecordMetadata

from contracts.errors import IrstreamError, RejectReason, RejectRecord, RetryLater, SettingsError, StopPipeline
from pipeline.kafka.client import connect, while_running
from pipeline.kafka.kafka_python_internals import join_sender, stop_sending
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch, missing
from pipeline.kafka.unacknowledged import Backlog, Message

_log = logging.getLogger(__name__)
_LINGER_MS = 5
_BATCH_BYTES = 2**20
_REQUEST_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_MAX_ATTEMPTS = 3
_RETRY_PAUSE_S = 0.5
_REFUSALS = (MessageSizeTooLargeError, AuthorizationError, InvalidTopicError, InvalidRecordError, InvalidTimestampError)


class SteadyProducer:
    """Sends messages; may be shared by threads. At least once, in order per partition, bounded in bytes.

    Attributes are safe to read at any time: `acked` counts messages the broker has acknowledged, `pending` those it has not.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect.

        Raises:
            RetryLater: no answer.
            StopPipeline: not allowed.
        """
        self._settings = settings
        self._backlog = Backlog(settings.unacked_bytes, f"producing to {settings.bootstrap_servers}")
        self._order = threading.Lock()  # held while messages are handed to the producer, so that they stay in order
        self._guard = threading.Lock()  # of the two below
        self._failure: tuple[int, KafkaError] | None = None
        self._judged = 0  # failures of this generation of producers and older ones no longer count
        self._generation = 1  # of the present producer; changed with `_order` held
        self._trouble = threading.Event()
        self._closed = False
        self._known_topics: set[str] = set()
        try:
            self._producer = self._connect()
        except KafkaError as error:
            raise while_running(settings, error, "producing") from error
        threading.Thread(target=self._watch, name="steady-producer", daemon=True).start()

    def __enter__(self) -> Self:
        """For a block of sends."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Send what is left, then close. An error of the block is not hidden by one of the closing."""
        try:
            self.close()
        except IrstreamError as late:
            if kind is None:
                raise
            _log.warning("closing the producer: %s", late)

    @property
    def acked(self) -> int:
        """Messages acknowledged so far."""
        return self._backlog.num_acked

    @property
    def pending(self) -> int:
        """Messages accepted but not acknowledged."""
        return len(self._backlog)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        """Take a message; it is written in the background. Waits while too many bytes are not acknowledged.

        An error that concerns an earlier message is raised here once; the message of this call is then not taken.

        Raises:
            RejectRecord: this message is larger than `max_message_bytes`.
            RetryLater: nothing has been acknowledged for `max_outage_s`; what was taken stays pending.
            SettingsError: no such topic, or the topic or the rights of this user do not fit an earlier message.
            StopPipeline: the broker refuses an earlier message for good.
            ValueError: key and value are both None, or there is no such partition.
        """
        self._know(topic)
        stamp = round(time.time() * 1000) if timestamp_ms is None else timestamp_ms
        message = Message(topic, key, value, list(headers), stamp, partition)
        self._backlog.wait_for_room(message.num_bytes, self._settings.max_outage_s)
        with self._order:
            if self._closed:
                raise ValueError("the producer is closed")
            number = self._backlog.add(message)
            try:
                self._hand_over(number, message)
            except MessageSizeTooLargeError as error:
                self._backlog.drop(number)
                expected = f"a message of at most {self._settings.max_message_bytes} bytes"
                raise RejectRecord(RejectReason.TOO_LARGE, expected=expected, got=f"{message.num_bytes} bytes") from error
            except (ValueError, TypeError):
                self._backlog.drop(number)
                raise

    def flush(self, timeout_s: float) -> None:
        """Wait until everything taken before this call is acknowledged.

        Raises:
            RetryLater: not within the time; it stays pending.
            SettingsError, StopPipeline: as `send`.
        """
        self._backlog.wait_until_acked(timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Flush, then close.

        Raises:
            RetryLater: not everything was acknowledged within the time: those messages may be lost.
            SettingsError, StopPipeline: as `send`.
        """
        if self._closed:
            return
        try:
            self.flush(timeout_s)
        finally:
            with self._order:
                self._closed = True
                _close(self._producer)
            self._trouble.set()

    def _connect(self) -> KafkaProducer:
        delivery_timeout_ms = round(self._settings.delivery_timeout_s * 1000)
        return connect(
            KafkaProducer,
            self._settings,
            delivery_timeout_ms=delivery_timeout_ms,
            request_timeout_ms=min(round(_REQUEST_TIMEOUT_S * 1000), delivery_timeout_ms - _LINGER_MS),
            max_request_size=self._settings.max_message_bytes,
            max_block_ms=round(self._settings.connect_timeout_s * 1000),
            linger_ms=_LINGER_MS,
            batch_size=_BATCH_BYTES,
            metrics_enabled=False,
        )

    def _know(self, topic: str) -> None:
        """Ask once per topic: to an unknown one kafka-python would wait in vain."""
        if topic in self._known_topics:
            return
        with ClusterWatch(self._settings) as watch:
            if watch.find(topic) is None:
                raise missing(self._settings, topic)
        self._known_topics.add(topic)

    def _hand_over(self, number: int, message: Message) -> None:
        """Give a message to the present producer; call with `_order` held."""
        try:
            future = self._producer.send(
                message.topic, message.value, message.key, message.headers, partition=message.partition, timestamp_ms=message.timestamp_ms
            )
        except MessageSizeTooLargeError:
            raise
        except KafkaError as error:
            self._on_failure(number, self._generation, self._producer, error)
            return
        except RuntimeError as error:
            # It was stopped after a failure and is asked for a topic it does not know; no fault of this message.
            self._on_failure(number, self._generation, self._producer, KafkaTimeoutError(str(error)))
            return
        future.add_callback(self._on_ack, number)
        future.add_errback(self._on_failure, number, self._generation, self._producer)

    def _on_ack(self, number: int, _: RecordMetadata) -> None:
        self._backlog.acknowledge(number)

    def _on_failure(self, number: int, generation: int, producer: KafkaProducer, error: KafkaError) -> None:
        # Once a batch has expired, kafka-python starts a new sequence and later messages would overtake it. This runs in its
        # own thread before it sends again.
        stop_sending(producer)
        with self._guard:
            # The first failure is the cause: after it the producer fails everything with old errors.
            if generation > self._judged and self._failure is None:
                self._failure = (number, error)
                self._trouble.set()

    def _watch(self) -> None:
        """The thread that makes a new producer when the present one has failed or hangs."""
        while not self._closed:
            if not self._trouble.wait(timeout=1.0) and not self._stalled():
                continue
            self._trouble.clear()
            try:
                self._judge_failure()
                if not self._closed:
                    self._rebuild()
            except (KafkaError, RetryLater, StopPipeline) as error:
                if isinstance(error, StopPipeline):
                    self._backlog.raise_later(error)
                _log.warning("no new producer yet: %s", error)
                time.sleep(_RETRY_PAUSE_S)
                self._trouble.set()

    def _stalled(self) -> bool:
        """No answer for longer than kafka-python can explain: it expires a message itself after `delivery_timeout_s`."""
        return self._backlog.quiet_s > 1.5 * self._settings.delivery_timeout_s + 5.0

    def _judge_failure(self) -> None:
        """Drop the message that killed the producer if it would kill the next one too, and every message whose topic is gone."""
        with self._guard:
            failure, self._failure = self._failure, None
            self._judged = self._generation
        culprit = self._backlog.get(failure[0]) if failure else None
        if failure is not None and culprit is not None:
            number, error = failure
            culprit.attempts += not isinstance(error, KafkaTimeoutError)
            if isinstance(error, _REFUSALS) or culprit.attempts >= _MAX_ATTEMPTS:
                self._backlog.drop(number)
                self._backlog.raise_later(_refused(culprit, error))
        topics = {message.topic for _, message in self._backlog.snapshot()}
        with ClusterWatch(self._settings) as watch:
            gone = [topic for topic in topics if watch.find(topic) is None]
        for topic in gone:
            self._known_topics.discard(topic)
            for number, message in self._backlog.snapshot():
                if message.topic == topic:
                    self._backlog.drop(number)
            self._backlog.raise_later(missing(self._settings, topic))

    def _rebuild(self) -> None:
        """Replace the producer and send again what is not acknowledged, oldest first."""
        fresh = self._connect()
        with self._order:
            if self._closed:
                _close(fresh)
                return
            _close(self._producer)
            self._producer = fresh
            self._generation += 1
            self._backlog.restart_clock()
            again = self._backlog.snapshot()
            _log.warning("new producer; %d messages are sent again", len(again))
            for number, message in again:
                try:
                    self._hand_over(number, message)
                except ValueError as error:
                    self._backlog.drop(number)
                    self._backlog.raise_later(_refused(message, error))


def _close(producer: KafkaProducer) -> None:
    """Stop a producer without waiting for what hangs in it."""
    try:
        producer.close(timeout=0)
    except KafkaTimeoutError:
        # With messages inside, its close() gives up before it stops its own thread.
        stop_sending(producer)
    join_sender(producer, _STOP_TIMEOUT_S)


def _refused(message: Message, error: Exception) -> StopPipeline:
    where = f"producing to topic {message.topic}"
    if isinstance(error, MessageSizeTooLargeError):
        return SettingsError(
            expected="a topic that takes every message up to kafka.max_message_bytes",
            got=f"a refusal of {message.num_bytes} bytes",
            where=where,
            action="Raise max.message.bytes of the topic, or lower kafka.max_message_bytes (IRSTREAM_KAFKA__MAX_MESSAGE_BYTES).",
        )
    # Without any right to write, the broker refuses the producer's id and kafka-python reports it as some error of the protocol.
    if isinstance(error, AuthorizationError) or "AuthorizationFailed" in str(error):
        return SettingsError(
            expected="the right to write", got=type(error).__name__, where=where, action="Let this user write, or choose another topic."
        )
    return StopPipeline(
        expected="a broker that takes the message",
        got=f"{type(error).__name__}: {error} ({message.attempts} attempts)",
        where=where,
        action="See the broker's log; a heap too small for the message looks like this too.",
    )
