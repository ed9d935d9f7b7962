"""Events of targets: the published message."""

from __future__ import annotations

import json
from contextlib import closing

from jsonschema import Draft202012Validator

from pipeline.events.alerts import AlertPublisher
from pipeline.events.targets import TargetMessage, target_message
from pipeline.tracks.settings import TrackSettings
from tests.pinned import assert_pinned
from tests.pipeline.fakes import MemoryProducer
from tests.pipeline.tracks.scenes import frame, run, seen, tracker

SCHEMA = TargetMessage.model_json_schema(mode="serialization")
# A drone that crosses the picture at one pixel a frame and is surest in its fifth frame.
FRAMES = [frame(n, seen(50.0 + n, 50.0, score=0.9375 if n == 14 else 0.75)) for n in range(10, 40)] + [frame(n) for n in range(40, 95)]


def test_events_as_a_consumer_sees_them() -> None:
    _, events = run(tracker(TrackSettings(update_s=1.0)), FRAMES)
    producer = MemoryProducer()
    with closing(AlertPublisher(producer, "detections", "live")) as alerts:
        alerts.publish_events(events)
        alerts.flush(120.0)
    heads = [dict(message.headers) for message in producer.log]
    names = ["live/frames/0/10#0/appeared", "live/frames/0/10#0/updated/35", "live/frames/0/10#0/left"]
    assert [head["ce_id"].decode() for head in heads] == names
    assert heads[0]["ce_type"] == b"irstream.target.appeared.v1"
    bodies = [json.loads(message.value or b"") for message in producer.log]
    assert [body["id"] for body in bodies] == names
    assert {message.key for message in producer.log} == {b"cam"}
    for body in bodies:
        Draft202012Validator(SCHEMA).validate(body)
    left = bodies[-1]
    assert (left["last_offset"], left["num_seen"], left["age_s"], left["offset"]) == (39, 30, 1.16, 90)
    assert (left["best"]["id"], left["best"]["score"], left["best"]["x_min_px"]) == ("frames/0/14", 0.9375, 62.5)


def test_other_policies_send_no_events() -> None:
    _, events = run(tracker(), FRAMES[:1])
    producer = MemoryProducer()
    for policy in ("detections", "all", "off"):
        with closing(AlertPublisher(producer, "detections", "live", policy)) as alerts:
            alerts.publish_events(events)
            alerts.flush(120.0)
    assert (len(events), producer.log) == (1, [])


def test_schema_and_example_are_published() -> None:
    assert_pinned("events.schema.json", json.dumps(SCHEMA, indent=2) + "\n")
    _, events = run(tracker(TrackSettings(update_s=1.0)), FRAMES)
    assert_pinned("events.example.json", json.dumps(target_message(events[1], "live").model_dump(mode="json"), indent=2) + "\n")
