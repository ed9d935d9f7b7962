"""Least scores and filters by sensor, through a whole stream: rows and alerts differ as the settings say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.reply import DetectorReply, FramePoison
from contracts.outputs import Detections
from contracts.result import FrameResult
from pipeline.inference.rules import LiveRules, SensorRules
from pipeline.kafka.memory_topic import MemoryTopic, Message
from pipeline.sensor_settings import AlertSettings, SensorAlertSettings, SensorSettings, Zone
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.runtime.memory_stream import MemoryStream, frames

SCORES = (0.2, 0.5, 0.9, 0.97)


class Scored(RuleNetworks):
    """Four boxes in each frame, one of each score."""

    async def detect(self, block: Any) -> DetectorReply:
        reply = await super().detect(block)
        found: list[Detections | FramePoison] = [
            Detections(each.boxes_xyxy_px, np.array(SCORES, np.float32)) for each in reply.outputs if isinstance(each, Detections)
        ]
        return replace(reply, outputs=found)


def of(sensor_id: str) -> Message:
    return frames(1, mark=len(SCORES))[0]._replace(key=sensor_id.encode())


def test_rows_and_alerts_differ_by_sensor(tmp_path: Path) -> None:
    sensors = {
        "cut": SensorSettings(min_score=0.9),
        "quiet": SensorSettings(alerts=SensorAlertSettings(min_score=0.95)),
        "all": SensorSettings(min_score=0.0, alerts=SensorAlertSettings(min_score=0.0)),
        "silent": SensorSettings(alerts=SensorAlertSettings(min_score=0.98)),
        "zone": SensorSettings(alerts=SensorAlertSettings(zones={"display": Zone(rectangle_px=(0, 0, 96, 64))})),
    }
    topic = MemoryTopic({0: [of(name) for name in ("plain", *sensors)]})
    stream = MemoryStream(topic, tmp_path, Scored().handles(), "detections")
    stream.job = replace(stream.job, rules=LiveRules(SensorRules(0.3, AlertSettings(min_score=0.5), sensors)))
    summary = stream.catch_up()
    rows = {row.sensor_id: [round(each.score, 2) for each in row.detections] for row in stream.rows() if isinstance(row, FrameResult)}
    assert rows == {
        "plain": [0.97, 0.9, 0.5],
        "cut": [0.97, 0.9],
        "quiet": [0.97, 0.9, 0.5],
        "all": [0.97, 0.9, 0.5, 0.2],
        "silent": [0.97, 0.9, 0.5],
        "zone": [0.97, 0.9, 0.5],
    }
    names = {row.sensor_id: [each.suppressed_by for each in row.detections] for row in stream.rows() if isinstance(row, FrameResult)}
    assert names == {
        "plain": [None] * 3,
        "cut": [None] * 2,
        "quiet": [None, "min_score", "min_score"],
        "all": [None] * 4,
        "silent": ["min_score"] * 3,
        "zone": ["display"] * 3,
    }
    assert summary.progress.suppressed == {"min_score": 5, "display": 3}
    bodies = [
        json.loads(message.value or b"") for message in stream.producer.log if message.position.topic == stream.job.kafka.alerts_topic
    ]
    alerts = {body["sensor_id"]: [round(each["score"], 2) for each in body["detections"]] for body in bodies}
    assert alerts == {"plain": [0.97, 0.9, 0.5], "cut": [0.97, 0.9], "quiet": [0.97], "all": [0.97, 0.9, 0.5, 0.2]}
    assert {body["sensor_id"]: body["num_detections"] for body in bodies} == {name: len(scores) for name, scores in alerts.items()}


def test_rules_are_exchanged_while_frames_flow(tmp_path: Path) -> None:
    """The first three frames come before the exchange, the others after it: nothing else ends or begins."""
    stream = MemoryStream(MemoryTopic({0: [of("mast-1") for _ in range(6)]}), tmp_path, block_max_frames=1)
    rules = stream.job.rules

    class Exchanging(Scored):
        num = 0

        async def detect(self, block: Any) -> DetectorReply:
            self.num += 1
            if self.num == 4:
                rules.exchange(SensorRules(0.0, AlertSettings(min_score=0.95)))
            return await super().detect(block)

    stream.job = replace(stream.job, models=Exchanging().handles(), stream=stream.job.stream.model_copy(update={"in_flight_blocks": 1}))
    assert stream.catch_up().progress.generation == 1
    suppressed = [sum(each.suppressed_by is not None for each in row.detections) for row in stream.rows() if isinstance(row, FrameResult)]
    assert suppressed == sorted(suppressed)
    assert {*suppressed} == {0, 3}


def test_rows_keep_weak_ones_and_alerts_and_the_classifier_do_not(tmp_path: Path) -> None:
    sensors = {"lower": SensorSettings(alerts=SensorAlertSettings(min_score=0.4)), "one": SensorSettings(min_score=0.5)}
    networks, topic = Scored(), MemoryTopic({0: [of(name) for name in ("plain", *sensors)]})
    stream = MemoryStream(topic, tmp_path, networks.handles(), "detections", max_weak=1)
    stream.job = replace(stream.job, rules=LiveRules(SensorRules(0.05, None, sensors, finder_score=0.6)))
    summary = stream.catch_up()
    rows = {row.sensor_id: row for row in stream.rows() if isinstance(row, FrameResult)}
    marked = {name: [(round(each.score, 2), each.suppressed_by, each.label) for each in row.detections] for name, row in rows.items()}
    sure: list[tuple[float, str | None, str]] = [(0.97, None, "drone"), (0.9, None, "drone")]
    assert marked == {
        "plain": [*sure, (0.5, "weak", "target")],
        "lower": [*sure, (0.5, "weak", "target")],
        "one": [*sure, (0.5, "weak", "target")],
    }
    assert {name: row.weak_left_out for name, row in rows.items()} == {"plain": 1, "lower": 1, "one": 0}
    assert sorted(num for block in networks.classified for num in block if num) == [2, 2, 2]
    assert (summary.progress.detections, summary.progress.suppressed) == (6, {})
    bodies = [
        json.loads(message.value or b"") for message in stream.producer.log if message.position.topic == stream.job.kafka.alerts_topic
    ]
    assert {body["sensor_id"]: body["num_detections"] for body in bodies} == {"plain": 2, "lower": 2, "one": 2}
