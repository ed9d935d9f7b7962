"""Alerts: the published message, which frames get one, and a broker that is away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from contracts.errors import RejectReason, RejectRecord, RetryLater, SettingsError, StopPipeline
from contracts.result import FrameResult
from pipeline.events.alerts import MAX_DETECTIONS, Alert, AlertPolicy, AlertPublisher, alert_message
from pipeline.kafka.interfaces import Headers
from tests import outcomes as make
from tests.outcomes import detection, gap, letter, result
from tests.pinned import DOCS, assert_pinned
from tests.pipeline.fakes import MemoryProducer

TIMEOUT_S = 120.0  # only against hanging
VALIDATOR = Draft202012Validator(Alert.model_json_schema(mode="serialization"))


@contextmanager
def publisher(producer: MemoryProducer, policy: AlertPolicy = "detections", max_waiting_bytes: int = 2**20) -> Iterator[AlertPublisher]:
    alerts = AlertPublisher(producer, "detections", "live", policy, max_waiting_bytes)
    try:
        yield alerts
    finally:
        alerts.close()


@pytest.mark.parametrize(("policy", "offsets"), [("detections", [0]), ("all", [0, 1]), ("off", [])])
def test_policy_says_which_frames_get_an_alert(policy: AlertPolicy, offsets: list[int]) -> None:
    producer = MemoryProducer()
    with publisher(producer, policy) as alerts:
        alerts.publish([result(0), result(1, num_detections=0), letter(2), gap(3, 9)])
        alerts.flush(TIMEOUT_S)
    assert [json.loads(message.value or b"")["offset"] for message in producer.log] == offsets


def test_the_message_as_a_consumer_sees_it() -> None:
    producer = MemoryProducer()
    with publisher(producer) as alerts:
        alerts.publish([result(17, partition=3)])
        alerts.flush(TIMEOUT_S)
    (message,) = producer.log
    assert (message.position.topic, message.key) == ("detections", b"cam-1")
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_type": b"irstream.alert.v1",
        "ce_id": b"frames/3/17",
        "ce_source": b"irstream/live",
        "content-type": b"application/json",
    }
    body = json.loads(message.value or b"")
    assert body == json.loads((DOCS / "alerts.example.json").read_text()) | {"id": "frames/3/17", "partition": 3}


@settings(deadline=None)
@given(make.frame_results)
def test_every_result_makes_a_message_that_fits_the_schema_and_reads_back(frame: FrameResult) -> None:
    alert = alert_message(frame, "live")
    text = alert.model_dump_json()
    VALIDATOR.validate(json.loads(text))
    back = Alert.model_validate_json(text)
    assert (back.id, back.num_detections, back.captured_at) == (str(frame.position), len(frame.shown), frame.captured_at)


def test_crowded_frame_keeps_its_best_targets_below_the_message_limit() -> None:
    crowd = tuple(detection(score=index / 1000, label=f"target-{index}") for index in range(900))
    alert = alert_message(replace(result(0), detections=crowd), "live")
    assert (alert.num_detections, len(alert.detections)) == (900, MAX_DETECTIONS)
    assert alert.detections[0].label == "target-899"
    assert len(alert.model_dump_json()) < 1_000_000


def test_while_the_broker_is_away_nothing_is_lost_and_nothing_grows() -> None:
    producer = MemoryProducer(room=0)
    producer.away = True
    with publisher(producer, max_waiting_bytes=2_000) as alerts:
        alerts.publish([result(0), result(1), result(2)])
        with pytest.raises(RetryLater, match="bytes of alerts wait"):  # and does not wait, or it would for ever
            alerts.publish([result(3)])
        with pytest.raises(RetryLater, match="alerts wait after"):
            alerts.flush(0.05)
        producer.away = False
        alerts.flush(TIMEOUT_S)
        assert [json.loads(message.value or b"")["offset"] for message in producer.log] == [0, 1, 2]


class EndlessProducer(MemoryProducer):
    """While it takes one message, somebody publishes the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: AlertPublisher | None = None
        self.published = 1

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        if self.alerts is not None:
            self.alerts.publish([result(self.published)])
            self.published += 1
        super().send(topic, key, value, headers, timestamp_ms, partition)


def test_flush_ends_although_new_alerts_keep_coming() -> None:
    producer = EndlessProducer()
    with publisher(producer) as alerts:
        producer.alerts = alerts
        alerts.publish([result(0)])
        alerts.flush(TIMEOUT_S)
        assert json.loads(producer.log[0].value or b"")["offset"] == 0
        producer.alerts = None


class RefusingProducer(MemoryProducer):
    """A broker that answers some messages with an error, once."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__()
        self.errors = list(errors)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        if self.errors:
            raise self.errors.pop()
        super().send(topic, key, value, headers, timestamp_ms, partition)


def test_a_refusal_for_good_reaches_the_commit_even_if_the_next_try_works() -> None:
    error = SettingsError(expected="topic detections", got="none", where="broker", action="Create it.")
    with publisher(RefusingProducer([error])) as alerts:
        alerts.publish([result(0)])
        with pytest.raises(StopPipeline, match="topic detections"):
            alerts.flush(TIMEOUT_S)
        alerts.flush(TIMEOUT_S)


def test_an_alert_that_is_too_large_does_not_stop_the_others() -> None:
    producer = RefusingProducer([RejectRecord(RejectReason.TOO_LARGE, expected="less", got="more")])
    with publisher(producer) as alerts:
        alerts.publish([result(0), result(1)])
        alerts.flush(TIMEOUT_S)
    assert [json.loads(message.value or b"")["offset"] for message in producer.log] == [1]


def test_schema_and_example_are_published() -> None:
    assert_pinned("alerts.schema.json", json.dumps(Alert.model_json_schema(mode="serialization"), indent=2) + "\n")
    example = alert_message(result(17), "live").model_dump(mode="json")
    assert_pinned("alerts.example.json", json.dumps(example, indent=2) + "\n")


@pytest.mark.parametrize(("policy", "shown"), [("detections", {0: [0.9, 0.6]}), ("all", {0: [0.9, 0.6], 1: []}), ("off", {})])
def test_what_a_filter_suppresses_is_not_there_for_alerts(policy: AlertPolicy, shown: dict[int, list[float]]) -> None:
    display = replace(detection(0.99), suppressed_by="display")
    producer = MemoryProducer()
    with publisher(producer, policy) as alerts:
        alerts.publish(
            [replace(result(0), detections=(detection(0.6), display, detection(0.9))), replace(result(1), detections=(display,))]
        )
        alerts.flush(TIMEOUT_S)
    bodies = [json.loads(message.value or b"") for message in producer.log]
    assert {body["offset"]: [each["score"] for each in body["detections"]] for body in bodies} == shown
    assert [body["num_detections"] for body in bodies] == [len(scores) for scores in shown.values()]
