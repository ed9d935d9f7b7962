"""The stream with the three trained networks in Serve, on synthetic infrared of several sizes and depths."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from ray import serve

from contracts.frame import ContentType
from deploy.app import APP_NAME, build, running_models, stream_job
from deploy.settings import AppSettings, settings_from_args
from pipeline.inputs.cameras import synthetic_source
from pipeline.kafka_client import KafkaSettings
from pipeline.publish import publish
from pipeline.router import ModelHandles
from pipeline.steady_producer import SteadyProducer
from pipeline.stream import run_stream
from pipeline.synthetic.settings import SyntheticSettings
from tests.conftest import RealKafka
from tests.integration.feeds import assert_exactly_once, rows

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

CAMERAS = (
    SyntheticSettings(width_px=256, height_px=256, bit_depth=14, seed=1),
    SyntheticSettings(width_px=320, height_px=256, bit_depth=8, seed=2),
    SyntheticSettings(width_px=1280, height_px=1088, bit_depth=16, seed=3),
)


@pytest.fixture(scope="module")
def models() -> Iterator[ModelHandles]:
    with running_models(settings_from_args({})) as handles:
        yield handles


@pytest.fixture
def settings(kafka: RealKafka, tmp_path: Path) -> AppSettings:
    topics = {"topic": kafka.new_topic(2), "alerts_topic": kafka.new_topic(1), "dead_letter_topic": kafka.new_topic(1)}
    return settings_from_args(
        {"kafka": topics | {"bootstrap_servers": kafka.bootstrap_servers}, "sink": {"table": str(tmp_path / "table")}}
    )


def feed_synthetic(settings: KafkaSettings, num: int) -> None:
    with SteadyProducer(settings) as producer:
        progress = publish(synthetic_source(CAMERAS, None, ContentType.PNG), producer, settings.topic, limit=num)
    assert progress.acked == num


def test_three_networks_answer_for_every_frame_whatever_its_size(settings: AppSettings, models: ModelHandles) -> None:
    feed_synthetic(settings.kafka, 36)
    summary = run_stream(stream_job(settings, models), stop=threading.Event(), until_caught_up=True)
    found = rows(Path(settings.sink.table))
    assert_exactly_once(found, settings.kafka)
    assert {row["status"] for row in found} == {"ok"}
    assert {(row["width_px"], row["height_px"], row["bit_depth"]) for row in found} == {(256, 256, 14), (320, 256, 8), (1280, 1088, 16)}
    assert summary.progress.generation == 1, summary.progress.note
    detections = [(row, detection) for row in found for detection in row["detections"]]
    assert detections, "36 synthetic frames with targets and nothing found"
    for row, detection in detections:
        check_detection(row, detection)
    for row in found:
        tasks = [model["task"] for model in row["models"]]
        assert tasks[:2] == ["detection", "segmentation"]
        assert ("classification" in tasks) or not row["detections"]
        assert all(len(model["digest"]) == 64 for model in row["models"])
        assert {info["task"] for info in row["batch"]} <= set(tasks)
        assert row["stage_ms"]["detect"] > 0
        assert row["stage_ms"]["segment"] > 0


def check_detection(row: dict[str, Any], detection: dict[str, Any]) -> None:
    assert 0 <= detection["x_min_px"] < detection["x_max_px"] <= row["width_px"]
    assert 0 <= detection["y_min_px"] < detection["y_max_px"] <= row["height_px"]
    assert 0 < detection["score"] <= 1
    scores = dict(detection["class_scores"])
    assert sum(scores.values()) == pytest.approx(1.0, abs=1e-3)
    assert detection["label"] in {"target", max(scores, key=scores.__getitem__)}
    if detection["mask_rle"] is not None:
        mask = coco_mask.decode({"size": [row["height_px"], row["width_px"]], "counts": detection["mask_rle"].encode()})
        assert mask.sum() == detection["area_px"]
        ys, xs = np.nonzero(mask)
        assert detection["centroid_x_px"] == pytest.approx(xs.mean() + 0.5, abs=1e-2)
        assert detection["centroid_y_px"] == pytest.approx(ys.mean() + 0.5, abs=1e-2)
    assert detection["found_by"] == (["segmenter"] if "detector" not in detection["found_by"] else detection["found_by"])


def test_the_same_frames_give_the_same_rows_in_another_run(settings: AppSettings, models: ModelHandles) -> None:
    feed_synthetic(settings.kafka, 12)
    for run_id in ("first", "second"):
        one = stream_job(settings.model_copy(update={"run_id": run_id}), models)
        run_stream(one, stop=threading.Event(), until_caught_up=True)
    found = rows(Path(settings.sink.table))
    by_run = {
        run_id: {
            (row["source_partition"], row["source_offset"]): [
                (detection["label"], round(detection["score"], 3), round(detection["x_min_px"], 1)) for detection in row["detections"]
            ]
            for row in found
            if row["run_id"] == run_id
        }
        for run_id in ("first", "second")
    }
    assert by_run["first"] == by_run["second"]


def test_the_application_of_the_serve_config_streams_by_itself(settings: AppSettings, models: ModelHandles) -> None:
    serve.delete(APP_NAME)
    feed_synthetic(settings.kafka, 12)
    handle: Any = serve.run(build(settings.model_dump(mode="json")), name="from-config", route_prefix=None)
    try:
        deadline = time.monotonic() + 120
        status: dict[str, Any] = {}
        while status.get("frames_out") != 12 and time.monotonic() < deadline:
            status = handle.status.remote().result()
            assert status["error"] is None
            threading.Event().wait(0.5)
        assert status["frames_out"] == 12
    finally:
        serve.delete("from-config")
    assert_exactly_once(rows(Path(settings.sink.table)), settings.kafka)
