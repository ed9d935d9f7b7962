"""A scene for the page: synthetic cameras in a log in memory, and rows that say exactly what is in their frames.

`python -m tests.deploy.viewing.scene` plays it at http://127.0.0.1:8765 for as long as it runs.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import numpy as np
import uvicorn
from deltalake import DeltaTable
from pycocotools import mask as coco_mask

from contracts.codecs import encode_pixels
from contracts.errors import RejectReason
from contracts.frame import Band, ContentType, FrameMeta, RawRecord
from contracts.limits import InputLimits
from contracts.message import encode_message
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import BatchInfo, DeadLetter, Detection, FrameResult, ModelRef, Outcome, StageTimes
from deploy.settings.app_settings import load_settings
from deploy.viewing.access import Gate
from deploy.viewing.history import History
from deploy.viewing.memory_feeds import MemoryLog, MemoryTail
from deploy.viewing.past import Past
from deploy.viewing.server import Page, application
from deploy.viewing.table_rows import TableRows
from deploy.viewing.wall import Wall
from deploy.viewing.watcher import Watcher
from deploy.viewing.zones import ZoneEditor
from pipeline.events.targets import BestSight, TargetMessage
from pipeline.kafka.memory_topic import Message
from pipeline.kafka.settings import KafkaSettings
from pipeline.ops.explain import Explanation, explain
from pipeline.table.results_table import ResultsTable
from pipeline.tracks.tracker import Change
from synthetic.camera import SyntheticCamera, SyntheticFrame
from synthetic.settings import Scene, SyntheticSettings

TOPIC, ALERTS = "frames", "detections"
_MIX = (
    (Scene.SKYLINE, Band.LWIR, 14),
    (Scene.GROUND, Band.LWIR, 8),
    (Scene.SEA, Band.MWIR, 14),
    (Scene.SKY, Band.LWIR, 16),
    (Scene.ORBIT, Band.MWIR, 12),
    (Scene.SKYLINE, Band.MWIR, 8),
)


class Play:
    """Cameras that send a frame a step, and their rows."""

    def __init__(self, table: Path, num_sensors: int = 6, size_px: tuple[int, int] = (256, 320), fps: float = 2.0) -> None:
        """Nothing is sent yet."""
        self.log = MemoryLog()
        self.table = ResultsTable(str(table), "live", compact_after_commits=0)
        self.table.open_or_create()
        self.fps = fps
        self.names = [f"{_MIX[number % len(_MIX)][0].value}-{number + 1}" for number in range(num_sensors)]
        self._cameras = [
            SyntheticCamera(
                SyntheticSettings(
                    scene=scene, band=band, bit_depth=bits, height_px=size_px[0], width_px=size_px[1], fps=fps, seed=number + 3
                )
            )
            for number in range(num_sensors)
            for scene, band, bits in [_MIX[number % len(_MIX)]]
        ]
        self._first: dict[tuple[int, int], tuple[str, datetime]] = {}
        self._last: dict[tuple[int, int], tuple[Detection, FrameResult]] = {}
        self._offset = self._committed = 0
        self._step = 0

    def step(self, moment: datetime) -> list[Outcome]:
        """Send a frame of each camera; the rows that belong to them, in log order."""
        outcomes: list[Outcome] = []
        for number, camera in enumerate(self._cameras):
            frame = camera.frame(self._step)
            meta = FrameMeta(
                sensor_id=self.names[number],
                frame_id=f"{self.names[number]}-{self._step}",
                frame_number=self._step,
                captured_at=moment,
                band=camera.settings.band,
                platform=camera.settings.platform,
                bit_depth=camera.settings.bit_depth,
                content_type=ContentType.PNG,
            )
            key, value, headers = encode_message(meta, encode_pixels(frame.pixels_HW, ContentType.PNG))
            self._send(key, value, headers, moment)
            outcomes.append(self._row(number, frame, meta))
            self._offset += 1
        self._step += 1
        return outcomes

    def broken(self, moment: datetime) -> DeadLetter:
        """A message that cannot be used, and its row."""
        self._send(b"dome <b>west</b>", b"\x89PNG\r\n\x1a\nnothing", [], moment)
        self._offset += 1
        return DeadLetter(
            position=KafkaPosition(TOPIC, 0, self._offset - 1),
            reason=RejectReason.CORRUPT_IMAGE,
            detail="expected a PNG image; got <script>alert(1)</script>",
            ingested_at=moment,
            finished_at=moment,
            sensor_id="dome <b>west</b>",
        )

    def commit(self, outcomes: list[Outcome]) -> None:
        """Make rows visible, with all offsets until now."""
        self.table.append(outcomes, [OffsetRange(TOPIC, 0, self._committed, self._offset)], {TOPIC: "scene"})
        self._committed = self._offset

    def _send(self, key: bytes, value: bytes, headers: list[tuple[str, bytes]], moment: datetime, topic: str = TOPIC) -> None:
        self.log.append(topic, 0, [Message(key, value, tuple(headers), round(moment.timestamp() * 1000))])

    def _row(self, number: int, frame: SyntheticFrame, meta: FrameMeta) -> FrameResult:
        height_px, width_px = frame.pixels_HW.shape
        detections = tuple(self._detections(number, frame, meta))
        result = FrameResult(
            position=KafkaPosition(TOPIC, 0, self._offset),
            sensor_id=meta.sensor_id,
            frame_id=meta.frame_id,
            frame_number=meta.frame_number,
            captured_at=meta.captured_at,
            ingested_at=meta.captured_at,
            finished_at=meta.captured_at + timedelta(milliseconds=120),
            width_px=width_px,
            height_px=height_px,
            bit_depth=meta.bit_depth or 8,
            platform=meta.platform,
            band=meta.band,
            headers={},
            detections=detections,
            models=(ModelRef("detection", "fcos_light", "0" * 64), ModelRef("segmentation", "kestrel_wide", "1" * 64)),
            preprocess_version="2",
            batch=(BatchInfo("detection", 8, "full"), BatchInfo("segmentation", 4, "waited")),
            stage_ms=StageTimes(read=0.8, decode=2.1, wait=31.0, detect=22.0, segment=44.0, classify=5.0, fuse=0.4),
        )
        for name, each in zip(self._tracks(number, frame), detections, strict=True):
            self._last[name] = each, result
        self._tell(number, {*self._tracks(number, frame)}, result)
        return result

    def _tracks(self, number: int, frame: SyntheticFrame) -> list[tuple[int, int]]:
        return [(number, each.track_id) for each in frame.truth.targets]

    def _detections(self, number: int, frame: SyntheticFrame, meta: FrameMeta) -> Iterator[Detection]:
        for index, target in enumerate(frame.truth.targets):
            name = (number, target.track_id)
            track_id, since = self._first.setdefault(name, (f"{TOPIC}/0/{self._offset}#{index}", meta.captured_at))
            sure = 1 - 0.6 / (1 + abs(target.snr))
            rle = coco_mask.encode(np.asfortranarray(frame.truth.mask_HW(index).astype(np.uint8)))["counts"].decode()
            x_min, y_min, x_max, y_max = target.box_xyxy_px
            yield Detection(
                label=target.label, score=sure, x_min_px=x_min, y_min_px=y_min, x_max_px=x_max, y_max_px=y_max,
                centroid_x_px=target.centroid_xy_px[0], centroid_y_px=target.centroid_xy_px[1], area_px=target.area_px,
                class_scores={target.label: 0.9 * sure, "other": 1 - 0.9 * sure}, mask_rle=rle, found_by=("detector", "segmenter"),
                scr=target.clutter_ratio, suppressed_by="min_score" if sure < 0.6 else None, label_score=0.9 * sure,
                track_id=track_id, track_age_s=(meta.captured_at - since).total_seconds(), speed_px_s=4.2,
            )  # fmt: skip

    def _tell(self, number: int, there: set[tuple[int, int]], result: FrameResult) -> None:
        for name in [each for each in self._last if each[0] == number]:
            last, seen = self._last[name]
            if last.suppressed_by is not None:
                continue
            track_id, since = self._first[name]
            change = Change.APPEARED if seen is result and since == result.captured_at else Change.LEFT if name not in there else None
            if change is None:
                continue
            message = _event(change, last, seen, track_id, since)
            self._send(result.sensor_id.encode(), message.model_dump_json().encode(), [], result.captured_at, ALERTS)
            if change is Change.LEFT:
                del self._last[name]


def _event(change: Change, last: Detection, seen: FrameResult, track_id: str, since: datetime) -> TargetMessage:
    box = {name: getattr(last, name) for name in ("x_min_px", "y_min_px", "x_max_px", "y_max_px")}
    position = seen.position
    best = BestSight(id=str(position), offset=position.offset, captured_at=seen.captured_at, score=last.score, **box)
    return TargetMessage(
        id=f"live/{track_id}/{change.removeprefix('target.')}", event=change, run_id="live", track_id=track_id, sensor_id=seen.sensor_id,
        topic=position.topic, partition=position.partition, offset=position.offset, label=last.label, label_score=last.label_score,
        score=last.score, first_seen_at=since, last_seen_at=seen.captured_at, last_offset=position.offset,
        age_s=(seen.captured_at - since).total_seconds(), num_seen=1, centroid_x_px=last.centroid_x_px, centroid_y_px=last.centroid_y_px,
        speed_px_s=None, speed_m_s=None, latitude=None, longitude=None, best=best, **box,
    )  # fmt: skip


def play(scene: Play, seconds: float, past: int = 0) -> None:
    """Send and commit in real time, after `past` steps that lie before now."""
    now = datetime.now(UTC)
    rows = [row for step in range(past) for row in scene.step(now - timedelta(seconds=(past - step) / scene.fps))]
    scene.commit(rows)
    end, waiting = time.monotonic() + seconds, list[Outcome]()
    while time.monotonic() < end:
        began = time.monotonic()
        waiting += scene.step(datetime.now(UTC))
        if len(waiting) >= scene.fps * len(scene.names):
            scene.commit([*waiting, scene.broken(datetime.now(UTC))])
            waiting = []
        time.sleep(max(0.0, 1 / scene.fps - (time.monotonic() - began)))


def page_of(scene: Play, table: Path, config: Path | None = None) -> Page:
    """A page that shows it, without a token."""
    wall = Wall("live", InputLimits())
    watcher = Watcher(
        wall,
        lambda: MemoryTail(scene.log, [TOPIC], 64),
        lambda: MemoryTail(scene.log, [ALERTS], 200),
        TableRows(str(table), {}, "live", TOPIC),
    )

    def fetch(positions: Sequence[KafkaPosition]) -> dict[KafkaPosition, RawRecord]:
        return {each: scene.log.partitions[each.topic_partition][each.offset] for each in positions}

    def explained(position: KafkaPosition) -> Explanation:
        records = scene.log.partitions[position.topic_partition]
        record = records[position.offset] if position.offset < len(records) else None
        return explain(KafkaSettings(), DeltaTable(table), "live", position, lambda _: (record, False))

    zones = ZoneEditor(lambda: load_settings(config), config)
    past = Past(History(str(table), {}, "live"), zones, explained, fetch, True)
    return Page(wall, watcher, InputLimits(), Gate(None, False, 8765), {"run_id": "live"}, past)


def main() -> None:
    """Serve a scene."""
    with tempfile.TemporaryDirectory() as folder:
        num = int(sys.argv[1]) if len(sys.argv) > 1 else 6
        table, config = Path(folder) / "results", Path(folder) / "ray_config.yaml"
        config.write_text(Path(str(files("deploy") / "default_config.yaml")).read_text())
        scene = Play(table, num)
        threading.Thread(target=play, args=(scene, 1e9, 24), daemon=True).start()
        uvicorn.run(application(page_of(scene, table, config)), port=8765, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
