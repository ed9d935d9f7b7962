"""Least scores by sensor, through a whole stream: rows and alerts differ as the settings say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.reply import DetectorReply, FramePoison
from contracts.outputs import Detections
from contracts.result import FrameResult
from pipeline.kafka.memory_topic import MemoryTopic, Message
from pipeline.settings import AlertSettings, SensorAlertSettings, SensorSettings
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
    }
    topic = MemoryTopic({0: [of(name) for name in ("plain", *sensors)]})
    stream = MemoryStream(topic, tmp_path, Scored().handles(), min_score=0.3)
    stream.job = replace(stream.job, alerts=AlertSettings(min_score=0.5), sensors=sensors)
    stream.catch_up()
    rows = {row.sensor_id: [round(each.score, 2) for each in row.detections] for row in stream.rows() if isinstance(row, FrameResult)}
    assert rows == {
        "plain": [0.97, 0.9, 0.5],
        "cut": [0.97, 0.9],
        "quiet": [0.97, 0.9, 0.5],
        "all": [0.97, 0.9, 0.5, 0.2],
        "silent": [0.97, 0.9, 0.5],
    }
    bodies = [
        json.loads(message.value or b"") for message in stream.producer.log if message.position.topic == stream.job.kafka.alerts_topic
    ]
    alerts = {body["sensor_id"]: [round(each["score"], 2) for each in body["detections"]] for body in bodies}
    assert alerts == {"plain": [0.97, 0.9, 0.5], "cut": [0.97, 0.9], "quiet": [0.97], "all": [0.97, 0.9, 0.5, 0.2]}
    assert {body["sensor_id"]: body["num_detections"] for body in bodies} == {name: len(scores) for name, scores in alerts.items()}
