"""Counts, rates and latencies of a running stream, fed by the driver's threads and read by the live view."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import UTC, datetime

import numpy as np

from contracts.result import DeadLetter, FrameResult, Gap, Outcome, StageTimes
from pipeline.inference.rules import suppressed_by
from pipeline.runtime.clock_notes import ClockNotes
from pipeline.runtime.header_notes import HeaderNotes
from pipeline.runtime.metrics import StreamMetrics
from pipeline.runtime.progress import StreamProgress, TaskProgress
from pipeline.runtime.silence import Sensors
from pipeline.table.beside import BesideRows

WINDOW_S = 10.0
_OFFERED_WINDOW_S = 30.0
_STAGES = tuple(item.name for item in fields(StageTimes))
# Latency of the whole run is kept in log-spaced bins (6 % wide), so an hour costs as much memory as a minute.
_BINS_S = np.geomspace(1e-3, 1e5, 320)


@dataclass(slots=True)
class _Moment:
    """Rows that became visible in one commit."""

    at: float
    latencies_s: list[float]
    rows: int
    batch_sizes: dict[str, list[int]] = field(default_factory=dict)


class StreamStats:
    """Thread-safe; all methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, metrics: StreamMetrics | None = None) -> None:
        """Begin counting now; with `metrics`, what others may scrape is counted there too."""
        self._clock = clock
        self._metrics = metrics or StreamMetrics()
        self._header_notes = HeaderNotes()
        self._clock_notes = ClockNotes()
        self._began = clock()
        self._lock = threading.Lock()
        self._recent: deque[_Moment] = deque()
        self._reads: deque[tuple[float, int]] = deque()
        self._read_before = 0
        self._read_now = 0
        self._counts: Counter[str] = Counter()
        self._sensors = Sensors()
        self._by_label: Counter[str] = Counter()
        self._suppressed: Counter[str] = Counter()
        self._closed_by: dict[str, Counter[str]] = {}
        self._stage_ms = dict.fromkeys(_STAGES, 0.0)
        self._histogram = np.zeros(len(_BINS_S) + 1, np.int64)
        self._lag: int | None = None
        self._ends: deque[tuple[float, int]] = deque()
        self._ends_of: frozenset[int] = frozenset()
        self._away, self._away_since = "", 0.0
        self._busy_s, self._busy_until = 0.0, self._began
        self._generation = 1
        self._state = "starting"
        self._note = ""

    def on_read(self, messages_in_generation: int) -> None:
        """The readers of this generation have read so many messages so far."""
        with self._lock:
            self._read_now = messages_in_generation
            self._reads.append((self._clock(), self._read_before + messages_in_generation))

    def on_new_readers(self, partitions: frozenset[int]) -> None:
        """The readers of these partitions count from 0 again: a new generation, or other partitions."""
        with self._lock:
            self._sensors.read_from(partitions)
            # Whatever of the last one has no row is dropped, and read again.
            self._read_before = self._counts["ok"] + self._counts["rejected"]
            self._read_now = 0
            self._reads.clear()
            self._reads.append((self._clock(), self._read_before))

    def on_state(self, state: str, *, generation: int | None = None, note: str | None = None) -> None:
        """The stream changes state."""
        with self._lock:
            self._state = state
            if generation is not None:
                self._generation = generation
            if note is not None:
                self._note = note
            self._metrics.on_generation(self._generation)

    def on_lag(self, lag: int | None, end: int = 0, partitions: frozenset[int] = frozenset()) -> None:
        """Messages without a row, from Kafka's end offsets.

        Args:
            lag: None while nobody knows.
            end: sum of the end offsets.
            partitions: of which.
        """
        with self._lock:
            self._lag = lag
            if lag is None or partitions != self._ends_of:
                self._ends.clear()
                self._ends_of = partitions
            if lag is not None:
                self._ends.append((self._clock(), end))
                while len(self._ends) > 2 and self._ends[1][0] < self._ends[-1][0] - _OFFERED_WINDOW_S:
                    self._ends.popleft()
        if lag is not None:
            self._metrics.on_lag(lag)

    def on_away(self, what: str) -> None:
        """Something does not answer; it may be said again and again."""
        with self._lock:
            if self._away != what:
                self._away, self._away_since = what, self._clock()
        self._metrics.on_kafka(up=False)

    def on_back(self) -> None:
        """All answer."""
        with self._lock:
            self._away = ""
        self._metrics.on_kafka(up=True)

    def on_visible(self, outcomes: Sequence[Outcome]) -> None:
        """Rows became visible in the table."""
        now = datetime.now(UTC)
        self._metrics.on_visible(outcomes, now)
        self._header_notes.on_visible(outcomes)
        self._clock_notes.on_visible(outcomes, now)
        latencies_s = [max(0.0, (now - outcome.ingested_at).total_seconds()) for outcome in outcomes]
        moment = _Moment(self._clock(), latencies_s, len(outcomes))
        with self._lock:
            for outcome in outcomes:
                self._count(outcome, moment)
            self._recent.append(moment)
            self._count_busy(outcomes, now, moment.at)
            if moment.latencies_s:
                bins = np.searchsorted(_BINS_S, moment.latencies_s)
                self._histogram += np.bincount(bins, minlength=len(self._histogram))

    def on_beside(self, rows: Sequence[BesideRows]) -> None:
        """Rows of other runs became visible beside ours."""
        self._metrics.on_beside(rows)

    def _count_busy(self, outcomes: Sequence[Outcome], now: datetime, now_s: float) -> None:
        """The union of the times from the reading of each row to its being visible."""
        longest_s = max(((now - each.finished_at).total_seconds() + _work_s(each) for each in outcomes), default=0.0)
        self._busy_s += now_s - min(now_s, max(self._busy_until, now_s - longest_s))
        self._busy_until = now_s

    def _count(self, outcome: Outcome, moment: _Moment) -> None:
        if isinstance(outcome, Gap):
            self._counts["gaps"] += 1
            return
        self._sensors.saw(outcome.sensor_id, moment.at, outcome.ingested_at, outcome.position.partition)
        if isinstance(outcome, DeadLetter):
            self._counts["rejected"] += 1
            return
        self._count_result(outcome, moment)

    def _count_result(self, result: FrameResult, moment: _Moment) -> None:
        self._counts["ok"] += 1
        self._counts["detections"] += len(result.sure)
        self._by_label.update(detection.label for detection in result.sure)
        self._suppressed.update(suppressed_by([result]))
        for info in result.batch:
            self._closed_by.setdefault(info.task, Counter())[info.closed_by] += 1
            moment.batch_sizes.setdefault(info.task, []).append(info.size)
        for name in _STAGES:
            self._stage_ms[name] += getattr(result.stage_ms, name)

    def progress(self) -> StreamProgress:
        """A snapshot."""
        with self._lock:
            now = self._clock()
            while self._recent and self._recent[0].at < now - WINDOW_S:
                self._recent.popleft()
            while len(self._reads) > 1 and self._reads[1][0] < now - WINDOW_S:
                self._reads.popleft()
            latencies = [value for moment in self._recent for value in moment.latencies_s]
            p50, p99 = (np.percentile(latencies, [50, 99]).tolist()) if latencies else (None, None)
            window_s = max(1e-3, min(WINDOW_S, now - self._began))
            frames_in = self._read_before + self._read_now
            since = self._reads[0][1] if self._reads else frames_in
            found = StreamProgress(
                frames_in=frames_in,
                frames_out=sum(self._counts[name] for name in ("ok", "rejected", "gaps")),
                rejected=self._counts["rejected"],
                gaps=self._counts["gaps"],
                detections=self._counts["detections"],
                lag=self._lag,
                fps_in=max(0, frames_in - since) / window_s,
                fps_out=sum(moment.rows for moment in self._recent) / window_s,
                latency_p50_s=p50,
                latency_p99_s=p99,
                tasks=self._tasks(),
                generation=self._generation,
                state=self._state,
                note=self._note,
                elapsed_s=now - self._began,
                suppressed=dict(self._suppressed),
                busy_s=self._busy_s,
                offered_fps=self._offered_fps(),
                away=self._away,
                away_s=now - self._away_since if self._away else 0.0,
            )
            self._metrics.on_in_flight(found.in_flight)
            return replace(found, silent=self._sensors.silent(now)) if found.keeps_up else found

    def _offered_fps(self) -> float | None:
        if len(self._ends) < 2:
            return None
        (first_s, first), (last_s, last) = self._ends[0], self._ends[-1]
        return max(0.0, (last - first) / (last_s - first_s)) if last_s > first_s else None

    def _tasks(self) -> tuple[TaskProgress, ...]:
        sizes: dict[str, list[int]] = {}
        for moment in self._recent:
            for task, values in moment.batch_sizes.items():
                sizes.setdefault(task, []).extend(values)
        return tuple(
            TaskProgress(task, float(np.mean(sizes[task])) if sizes.get(task) else 0.0, dict(causes))
            for task, causes in self._closed_by.items()
        )

    def totals(self) -> tuple[dict[str, int], dict[str, int], dict[str, float]]:
        """Rows per sensor, detections per label, mean milliseconds per stage of an `ok` frame."""
        with self._lock:
            num = max(1, self._counts["ok"])
            return self._sensors.rows(), dict(self._by_label), {name: total / num for name, total in self._stage_ms.items()}

    def latency_s(self, percentile: float) -> float | None:
        """Percentile of message time to row visible over the whole run, to 6 %; None before the first row."""
        with self._lock:
            total = int(self._histogram.sum())
            if total == 0:
                return None
            index = int(np.searchsorted(np.cumsum(self._histogram), total * percentile / 100))
            return float(_BINS_S[min(index, len(_BINS_S) - 1)])


def _work_s(outcome: Outcome) -> float:
    """Seconds from the reading of a frame to its outcome."""
    return sum(ms or 0.0 for ms in astuple(outcome.stage_ms)) / 1000 if isinstance(outcome, FrameResult) else 0.0
