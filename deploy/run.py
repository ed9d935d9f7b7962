"""One stream in this process: Ray, the three models, signals that drain, a view that shows it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from deploy.cluster.interrupts import interruptible
from deploy.reload import RegistryWatch, Reload
from pipeline.runtime.progress import StreamProgress

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings
    from deploy.terminal.stream_view import StreamView
    from pipeline.ops.replay import SelectedOffsets
    from pipeline.reprocess import Archive, ArchiveSummary
    from pipeline.runtime.progress import StreamSummary


Watch = Callable[[StreamProgress, threading.Event], None]
_CANDIDATE_S = 120.0  # a bounded stream waits so long for the candidate of its shadow: it might be over before


def check_start(settings: AppSettings) -> None:
    """Checks before Ray and the models are started, which takes many seconds.

    Raises:
        SettingsError: a file of ours that another distribution has written over, a model that cannot be had,
            no native CRC, no broker, no such topic, or a table that cannot be written.
    """
    from deploy.cluster.names import check_files
    from deploy.settings.mistakes import InvalidSettingsError
    from deploy.settings.model_check import label_mistakes, model_mistakes
    from pipeline.kafka.client import require_native_crc
    from pipeline.kafka.topics import describe_topic
    from pipeline.table.results_table import ResultsTable

    check_files()
    if mistakes := [*model_mistakes(settings.models), *label_mistakes(settings)]:
        raise InvalidSettingsError(mistakes)
    require_native_crc()
    describe_topic(settings.kafka, settings.kafka.topic)
    ResultsTable(settings.sink.table, settings.run_id, settings.sink.plain_storage_options()).open_or_create()


def run_here(
    settings: AppSettings,
    view: StreamView,
    *,
    until_caught_up: bool = False,
    watch: Watch | None = None,
    selected_offsets: SelectedOffsets | None = None,
    again: Callable[[], AppSettings] | None = None,
) -> StreamSummary:
    """Stream until stopped by a signal (or caught up), then put everything away.

    Args:
        settings: what to stream, and how.
        view: shows how it goes.
        until_caught_up: end when every offset that existed at the start has its row.
        watch: gets every snapshot and the event that stops the stream.
        selected_offsets: only these offsets per partition, then end; default: the whole topic.
        again: reads the settings once more on SIGHUP, or when another version is in production, to exchange models and filters that
            changed; default: SIGHUP ends the process, and models stay.

    Raises:
        SettingsError: see `check_start`; or a model cannot be loaded.
        StopPipeline: going on would lose or falsify data.
        KeyboardInterrupt: interrupted before the stream began, or for the third time.
    """
    with interruptible():
        return _run(settings, view, until_caught_up, watch, selected_offsets or {}, again)


def _run(
    settings: AppSettings,
    view: StreamView,
    until_caught_up: bool,
    watch: Watch | None,
    selected_offsets: SelectedOffsets,
    again: Callable[[], AppSettings] | None,
) -> StreamSummary:
    from deploy.settings.production import in_production, production_digests

    # Before they are loaded: what is promoted meanwhile is seen by the first look.
    began_s = time.monotonic()
    known = production_digests(settings.registry)
    settings = in_production(settings)
    check_start(settings)
    starting = Starting(view, began_s)
    starting.step("starting Ray")
    from deploy.cluster.session import cluster_address, ray_session

    with ray_session(settings.stream.in_flight_bytes), interruptible():  # again: Ray has put its own handler above ours
        from deploy.app import rules_of, stream_job
        from deploy.monitoring.server import monitoring
        from deploy.serving import deploy_models, running_models
        from deploy.shadowing import Shadowing
        from pipeline.stream import run_stream

        starting.step("loading the three models")
        metrics = settings.metrics
        with (
            monitoring(metrics.host, metrics.port, metrics.stall_s, view.say) as asked,
            running_models(settings, view.say) as models,
            draining(view.say, settings.stream.drain_timeout_s) as drain,
        ):
            job = replace(stream_job(settings, models), selected_offsets=selected_offsets)
            start_s = starting.end(f"metrics at http://{asked.address}/metrics" if asked.address else "")

            def on_progress(progress: StreamProgress) -> None:
                progress = replace(progress, elapsed_s=progress.elapsed_s + start_s)
                drain.saw(progress)
                asked.health.saw(progress)
                if watch is not None:
                    watch(progress, drain.stop)
                view.show(progress)  # the last: it may fail, where nobody reads it any more

            shadow = Shadowing(settings, job.shadow, models, job.rules, view.say)
            beside: AbstractContextManager[None] = nullcontext()
            if not selected_offsets:
                beside = shadow.at_work(settings, delete_app=cluster_address() is not None)
            watching: AbstractContextManager[None] = nullcontext()
            if again is not None:
                newest = checked(_produced(again))
                exchange = Reload(
                    settings,
                    newest,
                    deploy_models,
                    lambda taken: job.rules.exchange(rules_of(taken)),
                    view.say,
                    exchange_shadow=shadow.exchange,
                )
                signal.signal(signal.SIGHUP, exchange.on_signal)
                look = partial(production_digests, settings.registry)
                watching = RegistryWatch(known, look, exchange.start, view.say, settings.registry.poll_s).watching()
            with watching, beside:
                if until_caught_up:
                    shadow.wait(_CANDIDATE_S)
                summary = run_stream(job, stop=drain.stop, until_caught_up=until_caught_up, on_progress=on_progress, meter=asked.meter)
                whole_s = summary.progress.elapsed_s + start_s
                return replace(summary, progress=replace(summary.progress, elapsed_s=whole_s))


class Starting:
    """Shows the steps of a start, with the time since it began."""

    def __init__(self, view: StreamView, began_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Shown on `view`; it began at `began_s` of `clock`."""
        self._view = view
        self._clock = clock
        self._began_s = self._step_s = began_s
        self._took: list[tuple[str, float]] = []
        self._name = "settings, broker and table"

    def step(self, name: str) -> None:
        """The next step begins."""
        now_s = self._clock()
        self._took.append((self._name, now_s - self._step_s))
        self._name, self._step_s = name, now_s
        self._view.show(StreamProgress(note=name, elapsed_s=now_s - self._began_s))

    def end(self, note: str = "") -> float:
        """Say that it is done and how long each step took, and a note; seconds since it began."""
        now_s = self._clock()
        took = ", ".join(f"{name} {step_s:.1f} s" for name, step_s in [*self._took, (self._name, now_s - self._step_s)])
        self._view.say(f"ready after {now_s - self._began_s:.1f} s: {took}" + (f"; {note}" if note else ""))
        return now_s - self._began_s


def _produced(read: Callable[[], AppSettings]) -> Callable[[], AppSettings]:
    """Settings that are read again, with the networks in production."""
    from deploy.settings.production import in_production

    return lambda: in_production(read())


def checked(read: Callable[[], AppSettings]) -> Callable[[], AppSettings]:
    """Settings that are read again, refused where a filter names a label that the classifier does not know."""

    def read_and_check() -> AppSettings:
        from deploy.settings.mistakes import InvalidSettingsError
        from deploy.settings.model_check import label_mistakes

        settings = read()
        if mistakes := label_mistakes(settings):
            raise InvalidSettingsError(mistakes)
        return settings

    return read_and_check


def reprocess_here(
    settings: AppSettings,
    open_archive: Callable[[], Archive],
    view: StreamView,
    share: tuple[int, int],
    on_range: Callable[[Archive], None],
) -> ArchiveSummary:
    """Reprocess an archive until its end or a signal, then put everything away.

    Args:
        settings: networks and table; those of the stream are replaced by `archive.*` where there are such.
        open_archive: fixes the range, or finds it.
        view: shows how it goes.
        share: number of this driver, from 1, and how many there are.
        on_range: called once the range is known.

    Raises:
        SettingsError: a model, the table or the input cannot be used, or the run id is used by something else.
        StopPipeline: going on would lose or falsify data.
        KeyboardInterrupt: interrupted before it began, or for the third time.
    """
    began_s = time.monotonic()
    from actors.threads import usable_cores
    from deploy.cluster.names import check_files
    from deploy.settings.mistakes import InvalidSettingsError
    from deploy.settings.model_check import label_mistakes, model_mistakes
    from pipeline.reprocess import finished

    with interruptible():
        check_files()
        if mistakes := [*model_mistakes(settings.models), *label_mistakes(settings)]:
            raise InvalidSettingsError(mistakes)
        archive = open_archive()
        on_range(archive)
        settings = _for_archive(settings, archive, share)
        if (done := finished(archive, settings.sink, share)) is not None:  # which needs neither Ray nor networks
            return done
        num_readers = settings.archive.readers or usable_cores()
        starting = Starting(view, began_s)
        starting.step("starting Ray")
        from deploy.cluster.session import ray_session

        with ray_session(settings.stream.in_flight_bytes), interruptible():
            from deploy.app import stream_job
            from deploy.serving import running_models
            from pipeline.reprocess import run_archive

            starting.step("loading the three models")
            with running_models(settings, view.say) as models, draining(view.say, settings.stream.drain_timeout_s) as drain:
                starting.end()

                def on_progress(progress: StreamProgress) -> None:
                    drain.saw(progress)
                    view.show(progress)

                job = stream_job(settings, models)
                return run_archive(job, archive, settings.archive, num_readers, stop=drain.stop, share=share, on_progress=on_progress)


def _for_archive(settings: AppSettings, archive: Archive, share: tuple[int, int]) -> AppSettings:
    """Large blocks, no latency budget, and models of one's own beside other drivers of the run on a cluster."""
    batching = {
        name: getattr(settings.batching, name).model_copy(update={"deadline_s": None}) for name in type(settings.batching).model_fields
    }
    topic = archive.range.topic + ("" if share == (1, 1) else f"-{share[0]}-of-{share[1]}")
    return settings.model_copy(
        update={
            "stream": settings.stream.model_copy(update={"block_max_frames": settings.archive.block_max_frames}),
            "batching": settings.batching.model_copy(update=batching),
            "kafka": settings.kafka.model_copy(update={"topic": topic}),
        }
    )


class Drain:
    """Turns Ctrl-C and SIGTERM into a drain: the second one says what is waited for, the third gives up waiting."""

    def __init__(self, say: Callable[[str], None], timeout_s: float) -> None:
        """Nothing is asked for yet."""
        self.stop = threading.Event()
        self._say = say
        self._timeout_s = timeout_s
        self._asked = 0
        self._progress = StreamProgress()

    def saw(self, progress: StreamProgress) -> None:
        """Remember the newest snapshot."""
        self._progress = progress

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handler for both signals.

        Raises:
            KeyboardInterrupt: asked for the third time.
        """
        self._asked += 1
        if self._asked == 1:
            self.stop.set()
            self._say(f"stopping: no new frames are read, those in flight get their rows (at most {self._timeout_s:g} s)")
        elif self._asked == 2:
            self._say(f"still waiting: {self.waiting_for()}; once more to give up (nothing is lost, the next start reads them again)")
        else:
            raise KeyboardInterrupt

    def waiting_for(self) -> str:
        """Text: what the drain waits for."""
        in_flight = self._progress.in_flight
        if in_flight > 0:
            return f"{in_flight} frames are read and have no row yet ({self._progress.state})"
        return f"every frame that was read has its row; the last commit and the models are put away ({self._progress.state})"


@contextmanager
def draining(say: Callable[[str], None], timeout_s: float) -> Iterator[Drain]:
    """Have Ctrl-C and SIGTERM drain while the block runs; afterwards they do what they did before."""
    drain = Drain(say, timeout_s)
    before = {number: signal.signal(number, drain.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield drain
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
