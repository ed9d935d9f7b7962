"""Settings of Kafka, and the one place where clients of kafka-python are made.

kafka-python 3.0 is fast and complete, but it has traps (a producer that hangs for ever, a reader that stays silent
during an outage, calls without a bound, topics created by asking for them). Each is handled once, in `kafka_settings`,
`topics`, `log_reader`, `header_names` and `steady_producer`; beside them only the demo's broker imports `kafka`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar

import crc32c
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError, RetriableError
from kafka.net.compat import KafkaNetClient
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from contracts.errors import RetryLater, SettingsError, StopPipeline

Client = TypeVar("Client")
_LOGGER = logging.getLogger("kafka")
_REPEAT_AFTER_S = 10.0
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
# kafka-python warns when a step of its own loop took 0.1 s: on a busy machine that is normal, and nobody can act on it.
_NO_NEWS = "blocking the event loop"
_ADDRESSES = r"^\s*[^\s,]+:\d+\s*(,\s*[^\s,]+:\d+\s*)*$"


class KafkaSettings(BaseModel):
    """Where Kafka is and how patient we are with it. Every key is also an environment variable `IRSTREAM_KAFKA__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field("127.0.0.1:9092", pattern=_ADDRESSES, description="host:port, several by comma")
    topic: str = Field(default="frames", min_length=1, description="frames come from here")
    alerts_topic: str = Field(default="detections", min_length=1, description="detections go here")
    dead_letter_topic: str = Field(default="frames.dead", min_length=1, description="messages that cannot be used, by reference")
    group_hint: str = Field("irstream", min_length=1, description="lag tools see our progress under it; nobody may subscribe with it")
    session_timeout_s: float = Field(
        10.0,
        ge=1,
        le=300,
        description="a driver silent for so long loses its partitions to the others (no less than the broker allows, often 6)",
    )
    max_message_bytes: int = Field(default=80 * 2**20, ge=2**20, description="largest message we send")
    fetch_bytes: int = Field(default=2**20, ge=2**16, description="how much one fetch brings (a larger message still comes)")
    unacked_bytes: int = Field(default=64 * 2**20, ge=2**20, description="a producer waits above this many bytes that are not acknowledged")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="a start without an answer fails after this time")
    probe_interval_s: float = Field(default=2.0, gt=0, description="how often a silent connection is asked whether it lives")
    probe_timeout_s: float = Field(default=3.0, gt=0, description="and how long the answer may take")
    delivery_timeout_s: float = Field(default=120.0, gt=0, description="a message not acknowledged by then is sent again by a new producer")
    max_outage_s: float = Field(default=300.0, gt=0, description="a producer gives up after so long without any acknowledgement")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients talk to the broker"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(None, description="how the user proves who it is")
    sasl_username: str | None = Field(None, description="user of SASL")
    sasl_password: SecretStr | None = Field(None, description="password of SASL, never shown")
    ssl_cafile: str | None = Field(None, description="PEM file of the authority that signed the broker's certificate")
    ssl_certfile: str | None = Field(None, description="PEM file of our certificate, where the broker asks for one")
    ssl_keyfile: str | None = Field(None, description="PEM file of its key")

    @model_validator(mode="after")
    def _three_topics(self) -> Self:
        if len({self.topic, self.alerts_topic, self.dead_letter_topic}) < 3:
            raise ValueError("three different names: topic, alerts_topic, dead_letter_topic (or the stream would read what it writes)")
        return self

    @property
    def probe_timeout_ms(self) -> int:
        """In Kafka's unit."""
        return round(self.probe_timeout_s * 1000)


def require_native_crc() -> None:
    """Make sure that checksums are computed in C: in Python 160 messages of 64 KiB a second are all one gets.

    Raises:
        SettingsError: kafka-python found no native crc32c, or the one it found counts wrong.
    """
    from kafka.record import util

    native = getattr(util, "crc32c_c", None)
    # 0xe3069283 is the check value of CRC-32C (RFC 3720, B.4).
    if native is not crc32c.crc32c or native(b"123456789") != 0xE3069283:
        raise SettingsError(
            expected="kafka-python with the native CRC of the package crc32c",
            got=f"{native!r}",
            where="start",
            action="Run: pip install --force-reinstall crc32c",
        )


def connect(kind: Callable[..., Client], settings: KafkaSettings, **options: object) -> Client:
    """Make a client that never creates topics, reconnects quickly and is bounded in its start.

    Args:
        kind: `KafkaConsumer`, `KafkaProducer` or `KafkaAdminClient`.
        settings: where to.
        options: further options of kafka-python.

    Raises:
        KafkaError: no answer within `connect_timeout_s`; its text ends with the reason, which kafka-python only logs.
    """
    calm_kafka_logging()
    made: list[KafkaNetClient] = []

    def make_net_client(**configs: Any) -> KafkaNetClient:
        client = KafkaNetClient(**configs)
        # kafka-python does not pass its option on: asking for a misspelt topic would create it.
        client._manager.cluster.config["allow_auto_create_topics"] = False
        made.append(client)
        return client

    reasons = _Reasons()
    _LOGGER.addHandler(reasons)
    try:
        return kind(kafka_client=make_net_client, **_common(settings), **options)
    except KafkaError as error:
        for client in made:
            client.close()  # a constructor that fails leaves its thread running
        raise type(error)(f"{error.args[0] if error.args else error}{reasons}") from error
    finally:
        _LOGGER.removeHandler(reasons)


def _common(settings: KafkaSettings) -> dict[str, object]:
    password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    return {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "bootstrap_timeout_ms": round(settings.connect_timeout_s * 1000),
        # The default of 30 s makes the first record after a 15 s outage come 29 s late.
        "reconnect_backoff_max_ms": 1000,
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": password,
        "ssl_cafile": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
        # `api_version` stays unset: with it several calls lose their bound.
    }


def connect_consumer(settings: KafkaSettings, **options: object) -> KafkaConsumer:
    """A reader for `assign()` that decides nothing by itself: no group, no commits, no jumps, only committed records."""
    return connect(
        KafkaConsumer,
        settings,
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=settings.fetch_bytes,
        fetch_max_bytes=max(settings.fetch_bytes, settings.max_message_bytes),
        # A topic may hold messages larger than ours; kafka-python would ask for them again for ever. We read and reject them.
        receive_message_max_bytes=2**31 - 1,
        # Deleted and recreated topics are noticed by their id in fresh metadata.
        metadata_max_age_ms=round(settings.probe_interval_s * 1000),
        metrics_enabled=False,
        **options,
    )


def connect_admin(settings: KafkaSettings) -> KafkaAdminClient:
    """A client for questions and topics, every call bounded by `connect_timeout_s`."""
    return connect(KafkaAdminClient, settings, request_timeout_ms=round(settings.connect_timeout_s * 1000))


def open_consumer(settings: KafkaSettings) -> KafkaConsumer:
    """The same as `connect_consumer`, for the start of a command.

    Raises:
        SettingsError: no broker answered within `connect_timeout_s`; names the address and the reason.
    """
    try:
        return connect_consumer(settings)
    except KafkaError as error:
        raise unreachable(settings, error) from error


def unreachable(settings: KafkaSettings, error: BaseException) -> SettingsError:
    """The error of a start that found no broker."""
    return SettingsError(
        expected=f"a Kafka broker that answers within {settings.connect_timeout_s:g} s",
        got=_text(error),
        where=f"kafka.bootstrap_servers = {settings.bootstrap_servers}",
        action="Start one with `irstream broker up`, or set IRSTREAM_KAFKA__BOOTSTRAP_SERVERS to the address of yours.",
    )


def while_running(settings: KafkaSettings, error: KafkaError, where: str) -> RetryLater | StopPipeline:
    """Turn an error of a running client into an action: what passes by itself is retried, all else stops."""
    if isinstance(error, RetriableError):
        return RetryLater(
            expected="an answer from Kafka",
            got=_text(error),
            where=f"{where} at {settings.bootstrap_servers}",
            action="Trying again until it is back.",
        )
    return StopPipeline(
        expected="an answer from Kafka",
        got=_text(error),
        where=f"{where} at {settings.bootstrap_servers}",
        action="This does not pass by itself: check the topic, the rights of this user and the broker's log.",
    )


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error.args[0]}" if error.args else type(error).__name__


class _Reasons(logging.Handler):
    """Collects why a connection failed: wrong password, certificate and protocol all look like a timeout otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._seen: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "ailed" in text and not text.startswith("Bootstrap failed"):
            self._seen[text] = None

    def __str__(self) -> str:
        return f" ({list(self._seen)[-1]})" if self._seen else ""


class CalmHandler(logging.Handler):
    """Passes on the first of equal log records, and again after `_REPEAT_AFTER_S` with how many were held back.

    During an outage kafka-python logs four errors per attempt and client.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        super().__init__()
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on or count."""
        if _NO_NEWS in str(record.msg):
            return
        key = (record.name, _NUMBER.sub("#", str(record.msg)))  # some of its messages are finished texts with numbers in them
        now = time.monotonic()
        last_at, held_back = self._last.get(key, (-_REPEAT_AFTER_S, 0))
        if now - last_at < _REPEAT_AFTER_S:
            self._last[key] = (last_at, held_back + 1)
            return
        self._last[key] = (now, 0)
        if held_back:
            record.msg = f"{record.getMessage()} ({held_back} more like it in {now - last_at:.0f} s)"
            record.args = None
        logging.getLogger().handle(record)


def calm_kafka_logging() -> None:
    """Put a `CalmHandler` between the loggers of kafka-python and everybody else's. Does nothing the second time."""
    if not any(isinstance(handler, CalmHandler) for handler in _LOGGER.handlers):
        _LOGGER.addHandler(CalmHandler())
        _LOGGER.propagate = False
