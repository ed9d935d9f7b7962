"""The stream with the three trained networks in Serve, on synthetic infrared of several sizes and depths; one is exchanged under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from ray import serve

from contracts.errors import SettingsError
from contracts.frame import ContentType
from contracts.position import KafkaPosition
from contracts.result import KEPT_BESIDE
from contracts.shadow_run import in_share
from deploy.app import build, stream_job
from deploy.serving import app_name, deploy_models
from deploy.settings.app_settings import AppSettings, settings_from_args
from deploy.settings.shadow import ShadowSettings
from deploy.shadowing import Shadowing
from evaluation.run_diff import MatchRules
from models.card import read_card
from pipeline.inference.router import ModelHandles
from pipeline.inputs.cameras import synthetic_source
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import describe_topic, end_offsets
from pipeline.ops.audit import audit
from pipeline.ops.diff import Side, compare_runs
from pipeline.publish import publish
from pipeline.runtime.progress import StreamProgress
from pipeline.runtime.whole import open_table
from pipeline.stream import run_stream
from pipeline.table.delta import open_results
from synthetic.settings import SyntheticSettings
from tests.conftest import RealKafka
from tests.integration.feeds import assert_exactly_once, models_for_a_test, rows
from tests.retrained import retrained

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.usefixtures("local_ray")]

STANDSTILL_S = 120
# The demo, tests/integration/test_names.py, runs the default.
LIGHT = {"segmenter": {"model": "acm"}}
CAMERAS = (
    SyntheticSettings(width_px=256, height_px=256, bit_depth=14, seed=1),
    SyntheticSettings(width_px=320, height_px=256, bit_depth=8, seed=2),
    SyntheticSettings(width_px=1280, height_px=1088, bit_depth=16, seed=3),
)
SMALL = CAMERAS[:2]
WAIT_S = 240.0  # only against waiting for ever


@pytest.fixture(scope="module")
def deployed() -> AppSettings:
    return settings_from_args({"models": LIGHT})


@pytest.fixture(scope="module")
def models(deployed: AppSettings) -> Iterator[ModelHandles]:
    with models_for_a_test(deployed) as handles:
        yield handles


@pytest.fixture
def settings(kafka: RealKafka, tmp_path: Path) -> AppSettings:
    topics = {"topic": kafka.new_topic(2), "alerts_topic": kafka.new_topic(1), "dead_letter_topic": kafka.new_topic(1)}
    return settings_from_args(
        {"kafka": topics | {"bootstrap_servers": kafka.bootstrap_servers}, "sink": {"table": str(tmp_path / "table")}, "models": LIGHT}
    )


def feed_synthetic(settings: KafkaSettings, num: int, cameras: Sequence[SyntheticSettings] = CAMERAS) -> None:
    with SteadyProducer(settings) as producer:
        progress = publish(synthetic_source(cameras, None, ContentType.PNG), producer, settings.topic, limit=num)
    assert progress.acked == num


def test_three_networks_answer_for_every_frame_whatever_its_size(settings: AppSettings, models: ModelHandles) -> None:
    feed_synthetic(settings.kafka, 9)
    summary = run_stream(stream_job(settings, models), stop=threading.Event(), until_caught_up=True)
    found = rows(Path(settings.sink.table))
    assert_exactly_once(found, settings.kafka)
    assert {row["status"] for row in found} == {"ok"}
    assert {(row["width_px"], row["height_px"], row["bit_depth"]) for row in found} == {(256, 256, 14), (320, 256, 8), (1280, 1088, 16)}
    assert summary.progress.generation == 1, summary.progress.note
    detections = [
        (row, detection, track_id)
        for row in found
        for detection, track_id, name in zip(row["detections"], row["detection_track_id"], row["detection_suppressed_by"], strict=True)
        if name not in KEPT_BESIDE
    ]
    assert sum(len(row["detections"]) for row in found) > len(detections), "rows keep weak ones beside their targets"
    assert detections, "nine synthetic frames with targets and nothing found"
    named: dict[str | None, set[str]] = {}
    for _, detection, track_id in detections:
        named.setdefault(track_id, set()).add(surest_class(detection))
    for row, detection, track_id in detections:
        check_detection(row, detection)
        voted = {surest_class(detection)} if track_id is None else named[track_id]
        assert detection["label"] in {"target", *voted}, "a label is the frame's own, or that of its track"
    for row in found:
        have_mask = [detection["mask_rle"] is not None for detection in row["detections"]]
        assert [ratio is not None and ratio >= 0 for ratio in row["detection_scr"]] == have_mask
    for row in found:
        tasks = [model["task"] for model in row["models"]]
        assert tasks[:2] == ["detection", "segmentation"]
        targets = [name for name in row["detection_suppressed_by"] if name not in KEPT_BESIDE]
        assert tasks[2:] == (["classification"] if targets else [])
        assert all(len(model["digest"]) == 64 for model in row["models"])
        assert [info["task"] for info in row["batch"]] == tasks
        assert row["stage_ms"]["detect"] > 0
        assert row["stage_ms"]["segment"] > 0


def surest_class(detection: dict[str, Any]) -> str:
    scores: dict[str, float] = dict(detection["class_scores"])
    return max(scores, key=scores.__getitem__)


def check_detection(row: dict[str, Any], detection: dict[str, Any]) -> None:
    assert 0 <= detection["x_min_px"] < detection["x_max_px"] <= row["width_px"]
    assert 0 <= detection["y_min_px"] < detection["y_max_px"] <= row["height_px"]
    assert 0 < detection["score"] <= 1
    assert sum(dict(detection["class_scores"]).values()) == pytest.approx(1.0, abs=1e-3)
    if detection["mask_rle"] is not None:
        mask = coco_mask.decode({"size": [row["height_px"], row["width_px"]], "counts": detection["mask_rle"].encode()})
        assert mask.sum() == detection["area_px"]
        ys, xs = np.nonzero(mask)
        assert xs.min() - 1 < detection["centroid_x_px"] < xs.max() + 2, "a centre of light, at most a pixel beside the mask"
        assert ys.min() - 1 < detection["centroid_y_px"] < ys.max() + 2
    assert detection["found_by"] in (["detector"], ["segmenter"], ["detector", "segmenter"])
    assert (detection["mask_rle"] is None) == (detection["found_by"] == ["detector"])


def test_a_shadow_of_the_same_network_finds_the_same(settings: AppSettings, models: ModelHandles) -> None:
    # cpus: the shadow may not fit beside three models of a test on few cores
    settings = settings.model_copy(update={"shadow": ShadowSettings(name="same", model="harrier", share=0.6, patience_s=60, num_cpus=0)})
    feed_synthetic(settings.kafka, 8, SMALL)
    job, said = stream_job(settings, models), list[str]()
    open_table(job, describe_topic(settings.kafka, settings.kafka.topic))
    shadow = Shadowing(settings, job.shadow, models, job.rules, said.append)
    with shadow.at_work(settings, delete_app=True):
        shadow.wait(WAIT_S)
        run_stream(job, stop=threading.Event(), until_caught_up=True)
    assert [line.partition(" (")[0] for line in said] == [
        "shadow:same: harrier",
        f"shadow:same: {len(rows_of(settings))} rows, 0 frames passed over",
    ]
    assert rows_of(settings)
    table = open_results(settings.sink.table, {})
    found = compare_runs(Side(table, "live"), Side(table, "shadow:same"), MatchRules())
    frames = list(found.frames)
    assert [frame.position_a for frame in frames] == [str(each) for each in rows_of(settings)]
    assert sum(frame.only_a + frame.only_b for frame in frames) == 0
    live, shared = (list(audit(settings.kafka, table, run, share=share)) for run, share in (("live", 1.0), ("shadow:same", 0.6)))
    assert all(each.clean for each in [*live, *shared])
    assert sum(each.ok for each in shared) == len(frames)


def rows_of(settings: AppSettings) -> list[KafkaPosition]:
    """Positions of the shadow's share, in order."""
    ends = sorted(end_offsets(settings.kafka, settings.kafka.topic).items())
    positions = (KafkaPosition(name.topic, name.partition, offset) for name, end in ends for offset in range(end))
    return [each for each in positions if in_share(each, settings.shadow.share)]


def test_the_same_frames_give_the_same_rows_in_another_run(settings: AppSettings, models: ModelHandles) -> None:
    feed_synthetic(settings.kafka, 12, SMALL)
    for run_id in ("first", "second"):
        one = stream_job(settings.model_copy(update={"run_id": run_id}), models)
        run_stream(one, stop=threading.Event(), until_caught_up=True)
    found = rows(Path(settings.sink.table))
    first, second = (
        sorted((row for row in found if row["run_id"] == run_id), key=lambda row: (row["source_partition"], row["source_offset"]))
        for run_id in ("first", "second")
    )
    assert len(first) == len(second) == 12
    assert any(row["detections"] for row in first), "nothing to compare"
    for one_row, other_row in zip(first, second, strict=True):
        assert_same_detections(one_row["detections"], other_row["detections"])


def assert_same_detections(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    """Other neighbours in a batch may change the last digits of a number, and no more."""
    assert [(found["label"], found["found_by"]) for found in first] == [(found["label"], found["found_by"]) for found in second]
    for name, tolerance in (("score", 2e-3), ("x_min_px", 0.1), ("y_min_px", 0.1), ("x_max_px", 0.1), ("y_max_px", 0.1)):
        ours, theirs = ([found[name] for found in detections] for detections in (first, second))
        assert np.allclose(ours, theirs, rtol=0, atol=tolerance), name


def test_the_application_of_the_serve_config_streams_by_itself(settings: AppSettings) -> None:
    feed_synthetic(settings.kafka, 4, SMALL)
    handle: Any = serve.run(build(settings.model_dump(mode="json")), name="from-config", route_prefix=None)
    try:
        wait_for_rows(handle, 4)
    finally:
        serve.delete("from-config")
    assert_exactly_once(rows(Path(settings.sink.table)), settings.kafka)


def wait_for_rows(handle: Any, num_rows: int) -> None:
    """Wait until a stream has so many rows, for as long as something moves in it."""
    seen: tuple[Any, ...] = ()
    moved_at = time.monotonic()
    while True:
        status: dict[str, Any] = handle.status.remote().result()
        assert status["error"] is None
        if status["frames_out"] == num_rows:
            return
        standing = tuple(status[name] for name in ("state", "generation", "frames_in", "frames_out"))
        if standing != seen:
            seen, moved_at = standing, time.monotonic()
        assert time.monotonic() - moved_at < STANDSTILL_S, f"nothing moves: {status}"
        time.sleep(0.5)


def test_every_row_names_the_weights_that_made_it_and_none_is_lost(
    settings: AppSettings, deployed: AppSettings, models: ModelHandles, tmp_path: Path
) -> None:
    weights = retrained(tmp_path, deployed.models.segmenter.model)
    try:
        with under_load(settings, models) as wait_for:
            wait_for(8)
            before = segmenter_stats(deployed)
            with pytest.raises(SettingsError, match="nowhere"):
                deploy_models(with_segmenter(deployed, weights=str(tmp_path / "nowhere.safetensors")))
            wait_for(4)
            assert segmenter_stats(deployed)["digest"] == before["digest"], "weights that cannot be had leave the old network at work"
            began = datetime.now(UTC)
            deploy_models(with_segmenter(deployed, weights=str(weights)))
            ended = datetime.now(UTC)
            after = segmenter_stats(deployed)
            last = wait_for(8)
    finally:
        deploy_models(deployed)
    assert before["digest"] != after["digest"] == read_card(weights.with_suffix(".json")).digest
    assert before["process"] == after["process"], "the same process goes on"
    assert last.generation == 1, last.note
    found = rows(Path(settings.sink.table))
    assert_exactly_once(found, settings.kafka)
    digests = [(row, model["digest"]) for row in found for model in row["models"] if model["task"] == "segmentation"]
    assert len(digests) == len(found)
    assert {digest for row, digest in digests if row["finished_at"] < began} == {before["digest"]}
    assert {digest for row, digest in digests if row["ingested_at"] > ended} == {after["digest"]}
    assert {digest for _, digest in digests} == {before["digest"], after["digest"]}


def with_segmenter(settings: AppSettings, **changes: Any) -> AppSettings:
    segmenter = settings.models.segmenter.model_copy(update=changes)
    return settings.model_copy(update={"models": settings.models.model_copy(update={"segmenter": segmenter})})


def segmenter_stats(settings: AppSettings) -> dict[str, Any]:
    handle: Any = serve.get_deployment_handle("segmenter", app_name(settings))
    found: dict[str, Any] = handle.stats.remote().result()
    return found


@contextmanager
def under_load(settings: AppSettings, models: ModelHandles) -> Iterator[Callable[[int], StreamProgress]]:
    """A stream and a camera that runs; gives a way to wait for so many more rows."""
    stop_camera, stop, moved = threading.Event(), threading.Event(), threading.Condition()
    newest = [StreamProgress()]
    camera = SyntheticSettings(width_px=96, height_px=96, bit_depth=14, seed=4)

    def on_progress(progress: StreamProgress) -> None:
        with moved:
            newest[0] = progress
            moved.notify_all()

    def film() -> None:
        with SteadyProducer(settings.kafka) as producer:
            publish(synthetic_source([camera], "cam", ContentType.PNG), producer, settings.kafka.topic, fps=4, stop=stop_camera)

    def wait_for(num: int) -> StreamProgress:
        with moved:
            wanted = newest[0].frames_out + num
            assert moved.wait_for(lambda: newest[0].frames_out >= wanted, WAIT_S), newest[0]
            return newest[0]

    work = [
        threading.Thread(target=film),
        threading.Thread(target=run_stream, args=(stream_job(settings, models),), kwargs={"stop": stop, "on_progress": on_progress}),
    ]
    for thread in work:
        thread.start()
    try:
        yield wait_for
    finally:
        stop_camera.set()
        work[0].join(60)
        sent = sum(end_offsets(settings.kafka, settings.kafka.topic).values())
        with moved:
            moved.wait_for(lambda: newest[0].frames_out >= sent, WAIT_S)
        stop.set()
        work[1].join(120)
