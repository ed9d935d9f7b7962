"""Publishing frames: at a rate, into a topic, with numbers, as `irstream publish` and the demo do it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from uuid import uuid4

from contracts.errors import RejectRecord, SettingsError
from contracts.message import encode_message
from pipeline.inputs.feeds import FrameSource, FrameToSend
from pipeline.inputs.pictures import Unusable
from pipeline.kafka.interfaces import FrameProducer

MAX_BEHIND_S = 1.0
"""A schedule missed by more than this is moved: a burst of late frames would be a rate nobody asked for."""
FLUSH_TIMEOUT_S = 60.0
_REPORT_EVERY_S = 0.25
_KEPT_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class PublishProgress:
    """Progress of publishing; the last one is the summary.

    Attributes:
        sent: messages given to the producer.
        acked, pending: of them, acknowledged and not.
        skipped: frames that could not be sent.
        problems: the first of them, `what: why`.
        sent_bytes: of all values.
        elapsed_s: since the first frame was due.
        sensors: how many.
        total: messages there will be; None without end.
        fps_asked: messages a second over all sensors; None for as fast as possible.
        fps_achieved: messages a second so far.
        behind_s: how late the last frame was.
        moved_s: by how much the schedule had to be moved in all.
        making_s, sending_s: time spent on making frames, and on handing them over (waiting for the broker included).
        interrupted: whether it was stopped from outside.
    """

    sent: int
    acked: int
    pending: int
    skipped: int
    problems: tuple[str, ...]
    sent_bytes: int
    elapsed_s: float
    sensors: int
    total: int | None
    fps_asked: float | None
    fps_achieved: float
    behind_s: float
    moved_s: float
    making_s: float
    sending_s: float
    interrupted: bool

    @property
    def whole(self) -> bool:
        """True where every frame of the input was sent, as far as it was asked for."""
        return self.skipped == 0

    @property
    def keeps_rate(self) -> bool:
        """True while the frames come at the rate that was asked for (less than a second behind, and the schedule never moved)."""
        return self.fps_asked is None or (self.moved_s == 0.0 and self.behind_s < MAX_BEHIND_S)

    @property
    def bottleneck(self) -> str:
        """The part that takes most of the time: `source` or `broker`."""
        return "source" if self.making_s >= self.sending_s else "broker"


@dataclass(slots=True)
class Pacer:
    """An absolute schedule: frame `n` of a sensor is due `n / fps` after the start, however long the others took.

    Attributes:
        fps: frames a second of each sensor; None for no schedule.
        clock: seconds, monotonic.
        wait: sleeps for so many seconds; True when it shall end instead.
        start_s: when frame 0 is due; moved on when the schedule is missed by more than `MAX_BEHIND_S`.
        behind_s: how late the last frame was.
        moved_s: by how much the start was moved in all.
    """

    fps: float | None
    clock: Callable[[], float]
    wait: Callable[[float], bool]
    start_s: float
    behind_s: float = 0.0
    moved_s: float = 0.0

    def hold(self, number: int) -> bool:
        """Wait until frame `number` is due; True when it shall end instead."""
        if self.fps is None:
            return self.wait(0.0)
        ahead_s = self.start_s + number / self.fps - self.clock()
        self.behind_s = max(-ahead_s, 0.0)
        if self.behind_s > MAX_BEHIND_S:
            self.start_s += self.behind_s
            self.moved_s += self.behind_s
        return self.wait(max(ahead_s, 0.0))


def publish(
    source: FrameSource,
    producer: FrameProducer,
    topic: str,
    *,
    fps: float | None = None,
    limit: int | None = None,
    loop: bool = False,
    on_progress: Callable[[PublishProgress], None] | None = None,
    stop: Event | None = None,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], bool] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> PublishProgress:
    """Send the frames of a source.

    Args:
        source: what to send.
        producer: where to; its `send` holds us back when the broker is slow.
        topic: of the frames.
        fps: frames a second of each sensor; None for as fast as possible.
        limit: messages to send; None for all.
        loop: begin again at the end.
        on_progress: called about four times a second and at the end, from this thread.
        stop: set it to end early; what was sent is still flushed.
        clock: seconds, monotonic.
        wait: how to sleep; default waits for `stop`.
        now: capture time of a frame that is sent now.

    Returns:
        The numbers at the end; everything sent is acknowledged.

    Raises:
        SettingsError: not one usable frame, or the topic does not exist (any more).
        RetryLater: the broker was away for too long.
    """
    stop = stop or Event()
    run = _Run(source, producer, topic, Pacer(fps, clock, wait or stop.wait, clock()), limit, now)
    last_report_s = clock()
    interrupted = False
    for frame in run.frames(loop):
        if run.pacer.hold(run.numbers[frame.sensor_id]) or stop.is_set():
            interrupted = True
            break
        run.send(frame)
        if on_progress is not None and clock() - last_report_s >= _REPORT_EVERY_S:
            last_report_s = clock()
            on_progress(run.progress())
    producer.flush(FLUSH_TIMEOUT_S)
    summary = run.progress(interrupted=interrupted)
    if on_progress is not None:
        on_progress(summary)
    if not run.sent and run.skipped:
        raise SettingsError(
            expected="at least one usable frame",
            got=f"none of {run.skipped}; first: {run.problems[0]}",
            where="publish",
            action="Check the input.",
        )
    return summary


class _Run:
    """One publishing: numbers, names and times of what is sent."""

    def __init__(
        self, source: FrameSource, producer: FrameProducer, topic: str, pacer: Pacer, limit: int | None, now: Callable[[], datetime]
    ) -> None:
        self.source, self.producer, self.topic, self.pacer, self.limit, self.now = source, producer, topic, pacer, limit, now
        # Frame numbers begin at 0 with each run; ids must not repeat.
        self.name = uuid4().hex[:12]
        self.numbers: Counter[str] = Counter()
        self.sent = self.sent_bytes = self.skipped = 0
        self.problems: list[str] = []
        self.making_s = self.sending_s = 0.0
        self.loops = False
        self.began_s = pacer.start_s
        self.acked_before = producer.acked

    def frames(self, loop: bool) -> Iterator[FrameToSend]:
        """Usable frames up to the limit, the time they take to make, and a note of those that are not usable."""
        self.loops = loop
        while True:
            before = self.sent
            entries = self.source.frames()
            while self.limit is None or self.sent < self.limit:
                asked_s = self.pacer.clock()
                entry = next(entries, None)
                self.making_s += self.pacer.clock() - asked_s
                if entry is None:
                    break
                if isinstance(entry, Unusable):
                    self.skip(f"{entry.what}: {entry.why}", entry.num)
                else:
                    yield entry
            if not loop or self.sent == before or self.sent == self.limit:
                return

    def send(self, frame: FrameToSend) -> None:
        """Give a frame its number and time, and send it."""
        picture, captured_at = frame.picture, self.now()
        number = self.numbers[frame.sensor_id]
        meta = frame.meta(frame_id=f"{frame.sensor_id}/{self.name}/{number}", number=number, captured_at=captured_at)
        key, value, headers = encode_message(meta, picture.payload, source="irstream/publish")
        asked_s = self.pacer.clock()
        try:
            self.producer.send(self.topic, key, value, headers, round(captured_at.timestamp() * 1000))
        except RejectRecord as error:
            self.skip(f"{frame.sensor_id}/{number}: {error.detail}")
        else:
            self.sent += 1
            self.sent_bytes += len(value)
        self.sending_s += self.pacer.clock() - asked_s
        self.numbers[frame.sensor_id] += 1

    def skip(self, problem: str, num: int = 1) -> None:
        """Count what cannot be used; keep the first few."""
        self.skipped += num
        if len(self.problems) < _KEPT_PROBLEMS:
            self.problems.append(problem)

    def progress(self, *, interrupted: bool = False) -> PublishProgress:
        """The numbers now."""
        elapsed_s = max(self.pacer.clock() - self.began_s, 1e-9)
        fps, num_sensors = self.pacer.fps, len(self.source.sensors)
        total = (
            self.limit
            if self.loops or self.source.num_frames is None
            else min(self.source.num_frames, self.limit or self.source.num_frames)
        )
        return PublishProgress(
            sent=self.sent,
            acked=self.producer.acked - self.acked_before,
            pending=self.producer.pending,
            skipped=self.skipped,
            problems=tuple(self.problems),
            sent_bytes=self.sent_bytes,
            elapsed_s=elapsed_s,
            sensors=num_sensors,
            total=total,
            fps_asked=None if fps is None else fps * num_sensors,
            fps_achieved=self.sent / elapsed_s,
            behind_s=self.pacer.behind_s,
            moved_s=self.pacer.moved_s,
            making_s=self.making_s,
            sending_s=self.sending_s,
            interrupted=interrupted,
        )
