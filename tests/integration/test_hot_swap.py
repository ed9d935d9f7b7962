"""A network is exchanged while frames flow: no frame lost, every row names the weights that made it, no process is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ray import serve

from contracts.errors import SettingsError
from contracts.frame import ContentType
from deploy.app import app_name, deploy_models, stream_job
from deploy.settings.app_settings import AppSettings, settings_from_args
from models.card import read_card
from pipeline.inputs.cameras import synthetic_source
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.topics import end_offsets
from pipeline.publish import publish
from pipeline.runtime.progress import StreamProgress
from pipeline.stream import run_stream
from synthetic.settings import SyntheticSettings
from tests.conftest import RealKafka
from tests.integration.feeds import assert_exactly_once, models_for_a_test, rows
from tests.retrained import retrained

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.usefixtures("local_ray")]
CAMERA = SyntheticSettings(width_px=96, height_px=96, bit_depth=14, seed=4)
LIGHT = {"segmenter": {"model": "acm"}}  # keeps up with the camera on a machine that others use too
WAIT_S = 240.0  # only against waiting for ever


def with_segmenter(settings: AppSettings, **changes: Any) -> AppSettings:
    segmenter = settings.models.segmenter.model_copy(update=changes)
    return settings.model_copy(update={"models": settings.models.model_copy(update={"segmenter": segmenter})})


@pytest.fixture
def settings(kafka: RealKafka, tmp_path: Path) -> AppSettings:
    topics = {"topic": kafka.new_topic(2), "alerts_topic": kafka.new_topic(1), "dead_letter_topic": kafka.new_topic(1)}
    return settings_from_args(
        {"kafka": topics | {"bootstrap_servers": kafka.bootstrap_servers}, "sink": {"table": str(tmp_path / "table")}, "models": LIGHT}
    )


@contextmanager
def under_load(settings: AppSettings) -> Iterator[Callable[[int], StreamProgress]]:
    """A stream and a camera that runs; gives a way to wait for so many more rows."""
    stop_camera, stop, moved = threading.Event(), threading.Event(), threading.Condition()
    newest = [StreamProgress()]

    def on_progress(progress: StreamProgress) -> None:
        with moved:
            newest[0] = progress
            moved.notify_all()

    def film() -> None:
        with SteadyProducer(settings.kafka) as producer:
            publish(synthetic_source([CAMERA], "cam", ContentType.PNG), producer, settings.kafka.topic, fps=4, stop=stop_camera)

    def wait_for(num: int) -> StreamProgress:
        with moved:
            wanted = newest[0].frames_out + num
            assert moved.wait_for(lambda: newest[0].frames_out >= wanted, WAIT_S), newest[0]
            return newest[0]

    with models_for_a_test(settings) as models:
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


def segmenter_stats(settings: AppSettings) -> dict[str, Any]:
    handle: Any = serve.get_deployment_handle("segmenter", app_name(settings))
    found: dict[str, Any] = handle.stats.remote().result()
    return found


def test_every_row_names_the_weights_that_made_it_and_none_is_lost(settings: AppSettings, tmp_path: Path) -> None:
    weights = retrained(tmp_path, settings.models.segmenter.model)
    with under_load(settings) as wait_for:
        wait_for(8)
        before = segmenter_stats(settings)
        with pytest.raises(SettingsError, match="nowhere"):
            deploy_models(with_segmenter(settings, weights=str(tmp_path / "nowhere.safetensors")))
        wait_for(4)
        assert segmenter_stats(settings)["digest"] == before["digest"], "weights that cannot be had leave the old network at work"
        began = datetime.now(UTC)
        deploy_models(with_segmenter(settings, weights=str(weights)))
        ended = datetime.now(UTC)
        after = segmenter_stats(settings)
        last = wait_for(8)
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
