"""The demo: broker, feeds, stream with three networks, table, contact sheet; everything it started is stopped again."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from contracts.errors import SettingsError
from contracts.result import FrameResult
from deploy.cluster.interrupts import interruptible
from deploy.demo.contact_sheet import Tile, write_contact_sheet
from deploy.demo.feeds import NUM_SYNTHETIC, Feed, recorded_source, synthetic_source
from deploy.demo.results import choose, fetch_frames, read_results
from deploy.demo.topics import demo_topics
from deploy.demo.truth import Truth
from deploy.run import run_here
from deploy.settings.app_settings import variable_of
from deploy.terminal.words import count
from pipeline.kafka.client import require_native_crc

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings
    from deploy.terminal.stream_view import StreamView
    from pipeline.publish import PublishProgress
    from pipeline.runtime.progress import StreamProgress, StreamSummary

RUN_ID = "demo"
_PARTS = frozenset({"_delta_log", f"run_id={RUN_ID}"})  # what the table of a demo holds
_TILES = 16
_SETTLED_S, _BACKLOG_S = 40.0, 30.0
OFFERED_FPS = 4.0
BROKER_VARIABLE = variable_of("kafka.bootstrap_servers")


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Settings of a demo.

    Attributes:
        frames: images, clips or a dataset; None for the synthetic sensors.
        out: folder for table and picture.
        num_frames: most frames to publish.
        fps: frames a second of each sensor; None: what two cores keep up with, `OFFERED_FPS` of all together.
        feed_at_most_s: the feeds end after this time.
    """

    frames: Path | None
    out: Path
    num_frames: int
    fps: float | None
    feed_at_most_s: float

    def fps_of_each(self, num_sensors: int) -> float:
        """Frames a second of each of so many sensors."""
        return OFFERED_FPS / num_sensors if self.fps is None else self.fps


@dataclass(frozen=True, slots=True)
class DemoReport:
    """Outcome of a demo.

    Attributes:
        contact_sheet: the picture, None when no frame got through.
    """

    summary: StreamSummary
    published: PublishProgress | None
    table: Path
    contact_sheet: Path | None


def run_demo(plan: DemoPlan, settings: AppSettings, view: StreamView) -> DemoReport:
    """Show everything once.

    Args:
        plan: what to show.
        settings: of the stream; table, run id and topics are the demo's own.
        view: shows how it goes.

    Raises:
        SettingsError: nothing to publish at the given path, or no broker can be had.
        StopPipeline: the stream cannot go on.
        KeyboardInterrupt: Ctrl-C or SIGTERM before the stream began.
    """
    with interruptible():
        return _run(plan, settings, view)


def _run(plan: DemoPlan, settings: AppSettings, view: StreamView) -> DemoReport:
    require_native_crc()
    source = synthetic_source(plan.fps_of_each(NUM_SYNTHETIC)) if plan.frames is None else recorded_source(plan.frames, plan.num_frames)
    truth = Truth(plan.frames)
    if truth.skipped:
        view.say(f"{count(len(truth.skipped))} rows of truth cannot be used and are left out, the first one: {truth.skipped[0]}")
    table = empty_table(plan.out)
    with _broker(settings, view) as bootstrap_servers:
        own = _demo_settings(settings, bootstrap_servers, table)
        with demo_topics(own.kafka, delete=_is_given()):
            view.say(f"{len(source.sensors)} sensors: {', '.join(source.sensors)}")
            fps = plan.fps_of_each(len(source.sensors))
            feed = Feed(source, own.kafka, fps=fps, num_frames=plan.num_frames, at_most_s=plan.feed_at_most_s)
            try:
                summary = run_here(own, view, watch=lambda progress, stop: conduct(feed, progress, stop))
            finally:
                published = feed.close()
            sheet = _contact_sheet(plan, own, summary, truth)
    return DemoReport(summary, published, table, sheet)


class Playable(Protocol):
    """The part of a `Feed` that the demo uses."""

    @property
    def sent(self) -> int | None:
        """Number of messages in the topic once everything is sent; None before."""
        ...

    def start(self) -> None:
        """Begin to send."""
        ...

    def end(self) -> None:
        """Stop sending."""
        ...


def conduct(feed: Playable, progress: StreamProgress, stop: threading.Event) -> None:
    """Start the feeds when the stream is ready, stop the stream when everything sent has its row.

    On a machine that cannot keep up the feeds end early, so that the demo ends in its time.
    """
    if progress.state == "streaming":
        feed.start()
    if progress.lag is not None and progress.elapsed_s > _SETTLED_S and progress.lag > _BACKLOG_S * max(progress.fps_out, 1.0):
        feed.end()
    # Rows are counted, not the lag: it may have been asked for before the first message was there.
    if feed.sent is not None and progress.frames_out >= feed.sent:
        stop.set()


def _is_given() -> bool:
    """True when the environment names a broker that stays."""
    return bool(os.environ.get(BROKER_VARIABLE))


@contextmanager
def _broker(settings: AppSettings, view: StreamView) -> Iterator[str]:
    """The broker named in the environment, else one of our own that ends with the demo."""
    if _is_given():
        yield settings.kafka.bootstrap_servers
        return
    from deploy.broker.broker import Broker

    with tempfile.TemporaryDirectory(prefix="irstream-demo-") as folder:
        view.say("starting Kafka")
        with Broker(Path(folder), say=view.say) as broker:
            view.say(f"Kafka is up at {broker.bootstrap_servers}")
            yield broker.bootstrap_servers


def _demo_settings(settings: AppSettings, bootstrap_servers: str, table: Path) -> AppSettings:
    """The same settings with the demo's own topics and table: it must not touch what others have in this broker."""
    topic = f"irstream-demo-{uuid4().hex[:8]}"
    names = {"topic": topic, "alerts_topic": f"{topic}.detections", "dead_letter_topic": f"{topic}.dead"}
    kafka = settings.kafka.model_copy(update=names | {"bootstrap_servers": bootstrap_servers})
    return settings.model_copy(update={"run_id": RUN_ID, "kafka": kafka, "sink": settings.sink.model_copy(update={"table": str(table)})})


def empty_table(out: Path) -> Path:
    """The place of the table, cleared of the table of an earlier demo (its offsets belong to a topic that is gone).

    Raises:
        SettingsError: something that is no table of a demo is in the way.
    """
    table = out / "results"
    others = sorted(child.name for child in table.iterdir() if child.name not in _PARTS) if table.is_dir() else [table.name]
    if table.exists() and others:
        runs = [name.removeprefix("run_id=") for name in others if name.startswith("run_id=")]
        raise SettingsError(
            expected=f"a free place for the results table, or a table with rows of run {RUN_ID} alone",
            got=f"a table with rows of {', '.join(runs)}" if runs else f"something else ({', '.join(others[:3])})",
            where=str(table),
            action="Choose another --out: the demo empties its table.",
        )
    if table.exists():
        shutil.rmtree(table)
    table.mkdir(parents=True)
    return table


def _contact_sheet(plan: DemoPlan, settings: AppSettings, summary: StreamSummary, truth: Truth) -> Path | None:
    chosen = choose(read_results(settings.sink.table, RUN_ID), _TILES)
    frames = fetch_frames(settings.kafka, [result.position for result in chosen], settings.preprocess)
    tiles = [
        Tile(frames[result.position].pixels_HW, _title(result), result.shown, truth.boxes(result))
        for result in chosen
        if result.position in frames
    ]
    if not tiles:
        return None
    path = plan.out / "contact-sheet.png"
    progress = summary.progress
    heading = f"irstream: {count(progress.frames_out)} frames of {len(summary.by_sensor)} sensors, {count(progress.detections)} detections"
    write_contact_sheet(tiles, path, heading)
    return path


def _title(result: FrameResult) -> str:
    return f"{result.sensor_id}  {result.band.value}  {result.width_px}x{result.height_px}  {result.bit_depth} bit"
