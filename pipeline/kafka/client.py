"""The one place where clients of kafka-python are made.

kafka-python 3.0 is fast and complete, but it has traps (a producer that hangs for ever, a reader that stays silent
during an outage, calls without a bound, topics created by asking for them). Each is handled once, here and in
`topics`, `reader`, `header_names`, `producer` and `group`; what is private of kafka-python is used in
`kafka_python_internals` only. Beside this folder only the demo's broker and topics import `kafka`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import crc32c
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError, RetriableError

from contracts.errors import RetryLater, SettingsError, StopPipeline
from pipeline.kafka.client_log import Reasons, calm_kafka_logging
from pipeline.kafka.kafka_python_internals import accept_any_header_name, make_net_client, native_crc
from pipeline.kafka.security import error_text, is_final, refusal, security_options
from pipeline.kafka.settings import KafkaSettings

Client = TypeVar("Client")


def require_native_crc() -> None:
    """Make sure that checksums are computed in C: in Python 160 messages of 64 KiB a second are all one gets.

    Raises:
        SettingsError: kafka-python found no native crc32c, or the one it found counts wrong.
    """
    native = native_crc()
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
        KafkaError: no answer within `connect_timeout_s` (its text ends with the reason, which kafka-python only logs), or a
            refusal that another try cannot change, at once (`security.refusal`).
        SettingsError: a certificate, key or password file cannot be used.
    """
    options = _common(settings) | options
    calm_kafka_logging()
    accept_any_header_name()
    made: list[Any] = []

    def make(**configs: Any) -> Any:
        made.append(make_net_client(is_final, **configs))
        return made[-1]

    with Reasons() as reasons:
        try:
            return kind(kafka_client=make, **options)
        except KafkaError as error:
            for client in made:
                client.close()  # a constructor that fails leaves its thread running
            reason = "" if refusal(settings, error) else reasons
            raise type(error)(f"{error.args[0] if error.args else error}{reason}") from error


def _common(settings: KafkaSettings) -> dict[str, object]:
    return {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "bootstrap_timeout_ms": round(settings.connect_timeout_s * 1000),
        # The default of 30 s makes the first record after a 15 s outage come 29 s late.
        "reconnect_backoff_max_ms": 1000,
        # `api_version` stays unset: with it several calls lose their bound.
    } | security_options(settings)


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
    """The error of a start that found no broker, or one that refuses us."""
    return refusal(settings, error) or SettingsError(
        expected=f"a Kafka broker that answers within {settings.connect_timeout_s:g} s",
        got=error_text(error),
        where=f"kafka.bootstrap_servers = {settings.bootstrap_servers}",
        action="Start one with `irstream broker up`, or set IRSTREAM_KAFKA__BOOTSTRAP_SERVERS to the address of yours. "
        f"If it hangs up: does its port speak {settings.security_protocol} (kafka.security_protocol)?",
    )


def while_running(settings: KafkaSettings, error: KafkaError, where: str) -> RetryLater | StopPipeline:
    """Turn an error of a running client into an action: what passes by itself is retried, all else stops."""
    if refused := refusal(settings, error):
        return refused
    if isinstance(error, RetriableError):
        return RetryLater(
            expected="an answer from Kafka",
            got=error_text(error),
            where=f"{where} at {settings.bootstrap_servers}",
            action="A running stream tries again until it is back; run any other command again.",
        )
    return StopPipeline(
        expected="an answer from Kafka",
        got=error_text(error),
        where=f"{where} at {settings.bootstrap_servers}",
        action="This does not pass by itself: check the topic, the rights of this user and the broker's log.",
    )
