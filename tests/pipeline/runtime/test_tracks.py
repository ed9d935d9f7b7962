"""Tracks through a whole stream: whatever is killed, rows and events are those of a stream that nothing happened to."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.reply import ClassifierReply, DetectorReply, FramePoison
from contracts.block import unpack_block
from contracts.outputs import Classification, Detections, Float32
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Detection, FrameResult
from pipeline.kafka.memory_topic import CRASH, DROP, MemoryTopic, Message
from pipeline.table.recent import RecentFrame
from pipeline.table.results_table import ResultsTable
from pipeline.tracks.settings import TrackSettings
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.runtime.memory_stream import MemoryStream, frames

NUM = 150
NOON_MS = 1_790_000_000_000


class Moving(RuleNetworks):
    """Two targets of each sensor on their ways, missed and misnamed now and then, and noise: all of it by the frame's position."""

    async def detect(self, block: Any) -> DetectorReply:
        reply = await super().detect(block)
        frames_here = unpack_block(block).frames
        outputs: list[Detections | FramePoison] = [_found(frame.position.partition, frame.position.offset) for frame in frames_here]
        return replace(reply, outputs=outputs)

    async def classify(self, block: Any, boxes_xyxy_px: list[Float32]) -> ClassifierReply:
        reply = await super().classify(block, boxes_xyxy_px)
        offsets = [frame.position.offset for frame in unpack_block(block).frames]
        outputs: list[Classification | FramePoison] = [
            _named(offset, len(boxes)) for offset, boxes in zip(offsets, boxes_xyxy_px, strict=True)
        ]
        return replace(reply, outputs=outputs)


def _found(partition: int, offset: int) -> Detections:
    luck = random.Random(1000 * partition + offset)
    places = [(5 + 0.5 * offset, 10.0, 0.9), (90.0, 150 - 0.9 * offset, 0.6 if offset % 3 else 0.3)]
    places = [place for place in places if luck.random() < 0.8]
    places += [(luck.uniform(0, 300), luck.uniform(0, 300), 0.55)] * (luck.random() < 0.1)
    boxes = np.array([(x, y, x + 3, y + 3) for x, y, _ in places], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([score for *_, score in places], np.float32))


def _named(offset: int, num: int) -> Classification:
    sure = np.float32(random.Random(offset).random())
    return Classification(("bird", "drone"), np.tile(np.array([1 - sure, sure], np.float32), (num, 1)))


def messages(partition: int) -> list[Message]:
    """Two sensors in turn, one of them in both partitions; the last half of the first one's way is silence."""
    names = [b"both" if n % 2 else b"cam-%d" % partition for n in range(NUM)]
    image = frames(1)[0]
    return [image._replace(key=b"both" if n > NUM // 2 else name, timestamp_ms=NOON_MS + 40 * n) for n, name in enumerate(names)]


def story(stream: MemoryStream) -> tuple[dict[tuple[int, int], tuple[Detection, ...]], dict[str, dict[str, Any]]]:
    """Detections by position, and events by their ids."""
    rows = {(row.position.partition, row.position.offset): row.detections for row in stream.rows() if isinstance(row, FrameResult)}
    events: dict[str, dict[str, Any]] = {}
    for message in stream.producer.log:
        body = json.loads(message.value or b"")
        assert events.setdefault(body["id"], body) == body, "an event that comes again says the same"
    return rows, events


def streamed(path: Path, topic: Mapping[int, Sequence[Any]]) -> MemoryStream:
    stream = MemoryStream(MemoryTopic(topic), path, Moving().handles(), in_flight_blocks=3)
    stream.job = replace(stream.job, tracks=TrackSettings(update_s=1.0, max_gap_s=0.5, look_back=30))
    stream.catch_up()
    return stream


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_the_same_tracks_and_events(tmp_path: Path) -> None:
    unbroken = streamed(tmp_path / "unbroken", {each: messages(each) for each in (0, 1)})
    rows, events = story(unbroken)
    assert len(unbroken.plans) == 1
    assert sorted(rows) == [(partition, offset) for partition in (0, 1) for offset in range(NUM)]
    tracked = [each.track_id for found in rows.values() for each in found if each.track_id]
    assert len(tracked) > 10 * len(set(tracked)) / 2, "most sights belong to long tracks"
    assert {event["event"] for event in events.values()} == {"target.appeared", "target.updated", "target.left"}
    for seed in range(2):
        luck = random.Random(seed)
        topic: dict[int, list[Any]] = {}
        for partition in (0, 1):
            topic[partition] = list(messages(partition))
            for _ in range(3):
                topic[partition].insert(luck.randrange(4, NUM), luck.choice([CRASH, DROP]))
        broken = streamed(tmp_path / str(seed), topic)
        assert len(broken.plans) >= 3, "some generations were killed"
        assert story(broken) == (rows, events)


@pytest.mark.slow
def test_rows_that_a_former_driver_adds_during_the_start_are_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last commit becomes visible after we asked where the table stands: these frames are still to come."""
    unbroken = streamed(tmp_path / "unbroken", {0: messages(0)})
    rows, events = story(unbroken)
    outcomes, ids = unbroken.rows(), {"frames": "memory-1"}
    former = ResultsTable(str(tmp_path / "ours"), "live")
    former.open_or_create()
    former.append(outcomes[:10], [OffsetRange("frames", 0, 0, 10)], ids)
    recent_frames = ResultsTable.recent_frames

    def meanwhile(table: ResultsTable, topic: str, offsets: Mapping[int, range]) -> dict[int, list[RecentFrame]]:
        if offsets and offsets[0].stop == 10:
            former.append(outcomes[10:60], [OffsetRange("frames", 0, 10, 60)], ids)
        return recent_frames(table, topic, offsets)

    monkeypatch.setattr(ResultsTable, "recent_frames", meanwhile)
    ours = streamed(tmp_path / "ours", {0: messages(0)})
    rows_of_ours, events_of_ours = story(ours)
    assert [plan.starts for plan in ours.plans] == [{0: 10}, {0: 60}]
    assert rows_of_ours == rows
    assert events_of_ours.items() <= events.items()


def test_frames_that_are_fed_again_one_by_one_tell_no_stories(tmp_path: Path) -> None:
    """As `replay-dead` does: by default they make messages of frames."""
    stream = MemoryStream(MemoryTopic({0: frames(6)}), tmp_path)
    stream.job = replace(stream.job, selected_offsets={0: (1, 4)})
    stream.run({TopicPartition("frames", 0): 5})
    assert stream.offsets() == {0: [1, 4]}
    assert [json.loads(message.value or b"")["id"] for message in stream.producer.log] == ["frames/0/1", "frames/0/4"]
    assert {dict(message.headers)["ce_type"] for message in stream.producer.log} == {b"irstream.alert.v1"}


def test_messages_of_frames_by_setting(tmp_path: Path) -> None:
    """With `detections`, the topic holds what it held before there were tracks, and nothing else."""
    stream = MemoryStream(MemoryTopic({0: frames(6)}), tmp_path, policy="detections")
    stream.catch_up()
    bodies = [json.loads(message.value or b"") for message in stream.producer.log]
    assert [body["offset"] for body in bodies] == list(range(6))
    assert {dict(message.headers)["ce_type"] for message in stream.producer.log} == {b"irstream.alert.v1"}
