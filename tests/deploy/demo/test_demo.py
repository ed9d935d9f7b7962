"""The demo's parts: feeds that differ, a picture with the truth, a query that works as printed."""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from contracts.codecs import encode_pixels
from contracts.errors import IrstreamError, SettingsError
from contracts.frame import Band, ContentType, Platform
from contracts.limits import InputLimits
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import Detection, FrameResult, StageTimes
from deploy.demo.demo import OFFERED_FPS, DemoPlan, conduct, empty_table
from deploy.demo.feeds import NUM_SYNTHETIC, Feed, recorded_source, synthetic_source
from deploy.demo.next_steps import next_steps
from deploy.demo.results import fetch_frames, read_results
from deploy.demo.truth import Truth
from pipeline.inputs.feeds import FrameToSend
from pipeline.runtime.progress import StreamProgress
from pipeline.table.results_table import ResultsTable
from tests.conftest import RealKafka

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def result(offset: int, topic: str = "frames", num_detections: int = 1) -> FrameResult:
    found = Detection("drone", 0.75, 1, 2, 3, 4, 2, 3, 4, {"drone": 0.75}, None, ("detector",))
    moment = NOW + timedelta(seconds=offset)
    return FrameResult(
        position=KafkaPosition(topic, 0, offset),
        sensor_id="cam",
        frame_id=f"cam/{offset}",
        frame_number=offset,
        captured_at=moment,
        ingested_at=moment,
        finished_at=moment,
        width_px=64,
        height_px=64,
        bit_depth=14,
        platform=Platform.LAND,
        band=Band.MWIR,
        headers={"truth": '[{"box_xyxy_px":[1,2,3,4]}]'},
        detections=(found,) * num_detections,
        models=(),
        preprocess_version="1",
        batch=(),
        stage_ms=StageTimes(),
    )


def table_of(folder: Path, num: int, run_id: str = "demo") -> Path:
    table = ResultsTable(str(folder), run_id)
    table.open_or_create()
    outcomes = [result(offset, num_detections=offset % 2) for offset in range(num)]
    table.append(outcomes, [OffsetRange("frames", 0, 0, num)], {"frames": "id"})
    return folder


@pytest.mark.slow
def test_the_synthetic_sensors_differ_in_every_way() -> None:
    source = synthetic_source(2.0)
    first: dict[str, FrameToSend] = {}
    for frame in source.frames():
        assert isinstance(frame, FrameToSend)
        if frame.sensor_id in first:
            break
        first[frame.sensor_id] = frame
    assert len(first) == len(source.sensors) >= 4
    pictures = [frame.picture for frame in first.values()]
    assert len({picture.bit_depth for picture in pictures}) == 4
    assert len({picture.platform for picture in pictures}) >= 3
    assert len({picture.band for picture in pictures}) >= 2
    assert all("truth" in picture.headers for picture in pictures)


@pytest.mark.parametrize(("folder", "num_sensors"), [("hit-uav", 4), ("irstd-1k", 4), ("drone-ir-clips", 6)])
def test_recorded_frames_come_from_several_sensors(shared_data: Path, folder: str, num_sensors: int) -> None:
    assert len(recorded_source(shared_data / folder, 400).sensors) == num_sensors


def test_clips_of_every_kind_are_shown(shared_data: Path) -> None:
    """45 clips, sorted by class: the first of each sensor must not all be of the first class."""
    first: dict[str, str] = {}
    for frame in recorded_source(shared_data / "drone-ir-clips", 400).frames():
        assert isinstance(frame, FrameToSend)
        if frame.sensor_id in first:
            break
        first[frame.sensor_id] = frame.picture.headers["item"]
    assert {item.split("_")[1] for item in first.values()} == {"AIRPLANE", "DRONE", "HELICOPTER"}


def test_frames_are_left_out_evenly(tmp_path: Path) -> None:
    source = recorded_source(folder_of_images(tmp_path / "images", 20), 5)
    items = [frame.picture.headers["item"] for frame in source.frames() if isinstance(frame, FrameToSend)]
    assert len(items) == source.num_frames == 5
    assert items == sorted(items)
    assert items[0].endswith("000")
    assert items[-1].endswith("016")


def test_truth_of_headers_indexes_and_tracks(tmp_path: Path) -> None:
    (tmp_path / "index.jsonl").write_text(
        '{"id": "XDU0", "file": "0.png", "boxes": [[10, 20, 3, 4]]}\n{"file": "empty.png", "boxes": []}\n'
    )
    (tmp_path / "tracks.jsonl").write_text('{"video": "videos/clip.mp4", "boxes_xywh_px": [[1, 2, 3, 4], null]}\n')
    truth = Truth(tmp_path)

    def of(**headers: str) -> object:
        return truth.boxes(replace(result(0), headers=headers))

    assert of(item="XDU0") == ((10, 20, 13, 24),)
    assert of(item="empty") == ()
    assert of(item="clip/0") == ((1, 2, 4, 6),)
    assert of(item="clip/1") == ()
    assert of(item="clip/7") is None
    assert of() is None
    assert of(item="XDU0", truth='[{"box_xyxy_px":[1,2,3,4]}]') == ((1, 2, 3, 4),)
    assert Truth(None).boxes(replace(result(0), headers={"item": "XDU0"})) is None


def item_boxes(truth: Truth, item: str) -> object:
    return truth.boxes(replace(result(0), headers={"item": item}))


def test_rows_of_truth_that_publishing_accepts_never_end_the_demo(tmp_path: Path) -> None:
    bad = [
        "not json",
        "[1]",
        "7",
        '{"file": "five.png", "boxes": [[1, 2, 3, 4, 5]]}',
        '{"file": "words.png", "boxes": [["a", 2, 3, 4]]}',
        '{"file": "nan.png", "boxes": [[NaN, 2, 3, 4]]}',
        '{"boxes": []}',
    ]
    good = ['{"file": "images/good.png", "boxes": [[10, 20, 3, 4]]}', '{"file": "unknown.png"}', '{"file": "null.png", "boxes": null}']
    (tmp_path / "index.jsonl").write_text("\n".join([*bad, *good, ""]))
    (tmp_path / "tracks.jsonl").write_text('{"boxes_xywh_px": [[1, 2, 3, 4]]}\n{"video": "a.mp4"}\n')
    truth = Truth(tmp_path)
    assert item_boxes(truth, "good") == ((10, 20, 13, 24),)
    assert [item_boxes(truth, name) for name in ("null", "five", "words", "nan", "unknown")] == [None] * 5
    assert len(truth.skipped) == len(bad) + 2
    assert truth.skipped[0].startswith(f"{tmp_path / 'index.jsonl'}:1: expected one JSON object, got not json")


def test_truth_of_a_single_file_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "clips" / "videos").mkdir(parents=True)
    clip = tmp_path / "clips" / "videos" / "a.mp4"
    clip.touch()
    (tmp_path / "clips" / "tracks.jsonl").write_text('{"video": "videos/a.mp4", "boxes_xywh_px": [[1, 2, 3, 4]]}\n')
    assert item_boxes(Truth(clip), "a/0") == ((1, 2, 4, 6),)
    assert item_boxes(Truth(clip.parent), "a/0") == ((1, 2, 4, 6),)

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.jsonl").write_text('{"id": "b/0", "file": "0.png", "boxes": [[1, 2, 3, 4]]}\n')
    (tmp_path / "b.mp4").touch()
    assert item_boxes(Truth(tmp_path / "b.mp4"), "b/0") is None
    index = tmp_path / "other" / "mine.jsonl"
    index.write_text('{"id": "x", "file": "0.png", "boxes": [[1, 2, 3, 4]]}\n')
    assert item_boxes(Truth(index), "x") == ((1, 2, 4, 6),)
    assert item_boxes(Truth(index), "b/0") is None


def test_a_folder_without_frames_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        recorded_source(tmp_path, 400)
    assert str(tmp_path) in str(caught.value)


def folder_of_images(folder: Path, num: int) -> Path:
    folder.mkdir()
    for index in range(num):
        pixels_HW = np.full((32, 48), 100 * index, np.uint16)
        (folder / f"{index:03}.png").write_bytes(encode_pixels(pixels_HW, ContentType.PNG))
    return folder


@pytest.mark.broker
def test_a_feed_sends_everything_and_its_pixels_come_back_by_position(kafka: RealKafka, tmp_path: Path) -> None:
    settings = kafka.settings(topic=kafka.new_topic(partitions=1))
    feed = Feed(recorded_source(folder_of_images(tmp_path / "images", 5), 400), settings, fps=1000, num_frames=4, at_most_s=600)
    assert not feed.done
    assert feed.sent is None
    feed.start()
    feed.start()
    summary = feed.close() if feed.wait(120) else None
    assert summary is not None
    assert (summary.sent, summary.acked) == (4, 4)
    assert feed.sent == 4
    wanted = [KafkaPosition(settings.topic, 0, offset) for offset in (3, 1)]
    frames = fetch_frames(settings, wanted, InputLimits())
    assert [int(frames[position].pixels_HW[0, 0]) for position in wanted] == [300, 100]


@pytest.mark.broker
def test_a_feed_ends_at_its_time(kafka: RealKafka, tmp_path: Path) -> None:
    settings = kafka.settings(topic=kafka.new_topic())
    feed = Feed(recorded_source(folder_of_images(tmp_path / "images", 50), 400), settings, fps=0.1, num_frames=50, at_most_s=1.0)
    feed.start()
    assert feed.wait(120), "the whole of it would take eight minutes"
    summary = feed.close()
    assert summary is not None
    assert summary.sent < 50


def test_a_feed_that_fails_says_why(tmp_path: Path) -> None:
    from pipeline.kafka.settings import KafkaSettings

    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=0.5)
    feed = Feed(recorded_source(folder_of_images(tmp_path / "images", 1), 400), nowhere, fps=4, num_frames=1, at_most_s=600)
    feed.start()
    assert feed.wait(120)
    with pytest.raises(IrstreamError, match=r"127\.0\.0\.1:1"):
        feed.close()


def test_a_table_of_an_earlier_demo_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    table = table_of(tmp_path / "results", 3)
    assert empty_table(tmp_path) == table
    assert list(table.iterdir()) == []
    (table / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match=r"got something else \(thesis\.txt\)"):
        empty_table(tmp_path)
    assert (table / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("run_ids", [("live",), ("demo", "live")])
def test_rows_of_another_run_are_never_deleted(tmp_path: Path, run_ids: tuple[str, ...]) -> None:
    for run_id in run_ids:
        table_of(tmp_path / "results", 3, run_id)
    with pytest.raises(SettingsError, match=r"rows of live.*Choose another --out: the demo empties its table\."):
        empty_table(tmp_path)
    assert len(read_results(str(tmp_path / "results"), "live")) == 3


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    results = read_results(str(table_of(tmp_path / "results", 4)), "demo")
    assert [item.position.offset for item in results] == [0, 1, 2, 3]
    assert read_results(str(tmp_path / "results"), "another") == []


@pytest.mark.parametrize("folder", ["results", "it-costs-$5"])
def test_the_printed_query_works(tmp_path: Path, folder: str) -> None:
    table = table_of(tmp_path / folder, 6)
    printed = next_steps(table, tmp_path / "contact-sheet.png")
    command = next(line for line in printed.splitlines() if line.startswith("query")).removeprefix("query").strip()
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"cam +┆ drone +┆ 3 +┆ 0\.75 ", done.stdout)


class FakeFeed:
    def __init__(self) -> None:
        self.started, self.ended = False, False
        self.sent: int | None = None

    def start(self) -> None:
        self.started = True

    def end(self) -> None:
        self.ended = True


def test_the_conductor_starts_feeds_late_and_stops_when_every_frame_has_its_row() -> None:
    feed, stop = FakeFeed(), threading.Event()
    conduct(feed, StreamProgress(state="starting"), stop)
    assert not feed.started
    conduct(feed, StreamProgress(state="streaming", lag=0), stop)
    assert feed.started
    assert not stop.is_set()
    conduct(feed, StreamProgress(state="streaming", frames_out=9), stop)
    assert not stop.is_set()
    feed.sent = 9
    # The lag was asked for before the feed had sent anything.
    conduct(feed, StreamProgress(state="streaming", lag=0), stop)
    conduct(feed, StreamProgress(state="streaming", lag=1, frames_out=8), stop)
    assert not stop.is_set()
    conduct(feed, StreamProgress(state="streaming", lag=3, frames_out=9), stop)
    assert stop.is_set()


@pytest.mark.slow
def test_all_sensors_together_send_what_two_cores_keep_up_with(tmp_path: Path) -> None:
    plan = DemoPlan(None, tmp_path, 200, None, 75.0)
    assert len(synthetic_source(1.0).sensors) == NUM_SYNTHETIC == 4
    for num_sensors in (1, NUM_SYNTHETIC, 7):
        assert plan.fps_of_each(num_sensors) * num_sensors == pytest.approx(OFFERED_FPS)
    assert plan.num_frames / OFFERED_FPS < plan.feed_at_most_s
    assert replace(plan, fps=2.5).fps_of_each(4) == 2.5


@pytest.mark.parametrize(
    ("elapsed_s", "lag", "fps_out", "ended"), [(10, 500, 0.0, False), (60, 200, 8.0, False), (60, 300, 8.0, True), (60, 31, 0.0, True)]
)
def test_feeds_end_early_on_a_machine_that_cannot_keep_up(elapsed_s: float, lag: int, fps_out: float, ended: bool) -> None:
    feed = FakeFeed()
    conduct(feed, StreamProgress(state="streaming", lag=lag, fps_out=fps_out, elapsed_s=elapsed_s), threading.Event())
    assert feed.ended is ended
