"""The state that the page shows: of each sensor its newest frame and row, alerts, rejections, lag. All of it is bounded."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.frame import RawRecord
from contracts.limits import InputLimits
from contracts.message import kafka_moment, read_what_is_readable
from contracts.position import TopicPartition
from contracts.result import DeadLetter, FrameResult, Gap, Outcome
from deploy.viewing.held_frames import HeldFrames
from deploy.viewing.shown import Point, seconds, shown_event, shown_rejection, text
from pipeline.events.targets import TargetMessage

_KEPT = 200
_TAIL_POINTS, _TAILS, _TAIL_KEPT_S = 40, 64, 5.0
_PICTURE_KEPT_S = 10.0
_RATE_FRAMES, _RATE_S = 64, 10.0
_LATENCIES = 256
_MOST_WAITING = 256
_TICKS = 5


@dataclass(slots=True)
class _Sensor:
    key: int
    sensor_id: str
    heard_at: float = 0.0
    captured_at: float | None = None
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_FRAMES))
    waiting: deque[FrameResult] = field(default_factory=lambda: deque(maxlen=_MOST_WAITING))
    result: FrameResult | None = None
    pictured: FrameResult | None = None  # the newest row whose message came, too
    tails: OrderedDict[str, deque[Point]] = field(default_factory=OrderedDict)
    tail_seen: dict[str, float] = field(default_factory=dict)
    num_rejected: int = 0
    last_reason: str | None = None
    version: int = 0
    live_version: int = 0
    row_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Message and row of a sensor that belong together as far as they are known.

    Attributes:
        record: the message; None where it is not held.
        result: its row; with `live`, the newest row, perhaps of an earlier frame.
        tails: ways of the tracks of that row.
        version: grows when one of them is exchanged.
    """

    sensor_id: str
    record: RawRecord | None
    result: FrameResult | None
    tails: dict[str, list[Point]]
    version: int


class Wall:
    """All that is shown. Every method may be called from any thread."""

    def __init__(
        self, run_id: str, limits: InputLimits, max_sensors: int = 500, max_bytes: int = 256 * 2**20, now: Callable[[], float] = time.time
    ) -> None:
        """Nothing is known yet.

        Args:
            run_id: whose rows and events.
            limits: of messages.
            max_sensors: beyond it the one that was silent longest is forgotten.
            max_bytes: of messages that are held.
            now: Unix seconds.
        """
        self._run_id, self._limits, self._max_sensors, self._now = run_id, limits, max_sensors, now
        self._lock = threading.Lock()
        self._version = self._set_version = 0
        self._sensors: OrderedDict[str, _Sensor] = OrderedDict()  # the one heard of last is last
        self._by_key: dict[int, _Sensor] = {}
        self._next_key = 1
        self._frames = HeldFrames(max_bytes)
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_KEPT)
        self._event_ids: OrderedDict[str, None] = OrderedDict()
        self._rejections: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_KEPT)
        self._reasons: Counter[str] = Counter()
        self._suppressed: Counter[str] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES)
        self._arrived: deque[tuple[float, int]] = deque(maxlen=1_000)
        self._done: deque[tuple[float, int]] = deque(maxlen=1_000)
        self._lag: dict[str, int] = {}
        self._feeds: dict[str, str | None] = {}
        self._skipped = 0

    def add_frames(self, records: Iterable[RawRecord]) -> None:
        """Messages of the topic of frames."""
        num = 0
        for record in records:
            num += 1
            readable = read_what_is_readable(record, self._limits)
            if readable.sensor_id is None:
                continue
            with self._lock:
                sensor = self._of(readable.sensor_id)
                self._frames.add(sensor.sensor_id, record)
                sensor.captured_at = seconds(readable.captured_at)
                at = kafka_moment(record.timestamp_ms).timestamp()
                self._heard(sensor, at)
                sensor.times.append(at)
                sensor.live_version = sensor.version
                if sensor.result is None:
                    sensor.row_version = sensor.version
        with self._lock:
            self._arrived.append((self._now(), num))

    def add_rows(self, outcomes: Iterable[Outcome]) -> None:
        """Rows that became visible, each partition in order."""
        now, num = self._now(), 0
        with self._lock:
            for outcome in outcomes:
                num += 1
                if isinstance(outcome, DeadLetter):
                    self._reject(outcome)
                elif isinstance(outcome, FrameResult):
                    self._see(outcome, now)
                elif isinstance(outcome, Gap):
                    self._reasons["gap"] += 1
            if num:
                self._done.append((now, num))
                self._version += 1

    def tick(self) -> None:
        """Show the next rows that wait. Called `_TICKS` times a second: the rows of a commit are shown one after the other."""
        with self._lock:
            for sensor in list(self._sensors.values()):
                for _ in range(-(-len(sensor.waiting) // _TICKS)):
                    self._show(sensor, sensor.waiting.popleft())

    def add_events(self, events: Iterable[TargetMessage]) -> None:
        """Events of targets; one that comes again is known by its id."""
        with self._lock:
            for event in events:
                if event.run_id != self._run_id or event.id in self._event_ids:
                    continue
                self._event_ids[event.id] = None
                if len(self._event_ids) > 10 * _KEPT:
                    self._event_ids.popitem(last=False)
                self._version += 1
                self._events.append((self._version, shown_event(event)))

    def set_lag(self, ends: Mapping[TopicPartition, int], next_offsets: Mapping[TopicPartition, int]) -> None:
        """Messages of each partition that have no row yet; partitions of which the table knows nothing count whole."""
        lag = {str(each): max(0, end - next_offsets[each]) for each, end in ends.items() if each in next_offsets}
        with self._lock:
            if lag != self._lag:
                self._lag = lag
                self._version += 1

    def set_feed(self, name: str, trouble: str | None) -> None:
        """A feed works (None), or why it does not."""
        with self._lock:
            if name not in self._feeds or self._feeds[name] != trouble:
                self._feeds[name] = None if trouble is None else text(trouble)
                self._version += 1

    def set_skipped(self, num: int) -> None:
        """Number of messages that were stepped over."""
        with self._lock:
            self._skipped = num

    @property
    def version(self) -> int:
        """Grows with each change."""
        return self._version

    @property
    def held_bytes(self) -> int:
        """Bytes of messages that are held."""
        return self._frames.num_bytes

    def changes(self, since: int) -> dict[str, Any]:
        """All that is newer than a version, for the page; 0: all."""
        now = self._now()
        with self._lock:
            return {
                "version": self._version,
                "now": round(now, 3),
                "run_id": self._run_id,
                "feeds": dict(self._feeds),
                "lag": None if not self._lag else sum(self._lag.values()),
                "arriving_per_s": _rate(self._arrived, now),
                "done_per_s": _rate(self._done, now),
                "latency_s": _quantiles(self._latencies_s),
                "skipped": self._skipped,
                "reasons": dict(self._reasons),
                "suppressed": dict(self._suppressed.most_common(20)),
                "keys": None if since >= self._set_version > 0 else sorted(self._by_key),
                "sensors": [_shown(each, now) for each in self._sensors.values() if each.version > since],
                "events": [event for version, event in self._events if version > since],
                "rejections": [letter for version, letter in self._rejections if version > since],
            }

    def sensor_id(self, key: int) -> str | None:
        """Id of the sensor with this number; None where it is forgotten."""
        with self._lock:
            return None if (sensor := self._by_key.get(key)) is None else sensor.sensor_id

    def picture(self, key: int, *, live: bool = False) -> Picture | None:
        """The picture of a sensor: its newest frame that has a row, or with `live` its newest frame.

        Where the message of the newest row is not held (any more), it is the newest frame without a row.
        """
        with self._lock:
            sensor = self._by_key.get(key)
            if sensor is None:
                return None
            name, result = sensor.sensor_id, sensor.result if live else sensor.pictured
            record = None if result is None or live else self._frames.get(name, result.position)
            if record is None:
                record = self._frames.newest(name)
                if not live:
                    result = None
            tails = {} if result is None else {track: list(points) for track, points in sensor.tails.items()}
            return Picture(name, record, result, tails, max(sensor.live_version, sensor.row_version) if live else sensor.row_version)

    def _of(self, sensor_id: str) -> _Sensor:
        sensor = self._sensors.get(sensor_id)
        if sensor is None:
            if len(self._sensors) >= self._max_sensors:
                _, gone = self._sensors.popitem(last=False)
                del self._by_key[gone.key]
                self._frames.forget(gone.sensor_id)
            sensor = self._sensors[sensor_id] = _Sensor(self._next_key, sensor_id)
            self._by_key[sensor.key] = sensor
            self._next_key += 1
            self._set_version = self._version + 1
        self._sensors.move_to_end(sensor_id)
        self._version += 1
        sensor.version = self._version
        return sensor

    def _heard(self, sensor: _Sensor, at: float) -> None:
        sensor.heard_at = max(sensor.heard_at, at)

    def _reject(self, letter: DeadLetter) -> None:
        self._reasons[letter.reason.value] += 1
        if letter.sensor_id is not None:
            sensor = self._of(letter.sensor_id)
            sensor.num_rejected += 1
            sensor.last_reason = letter.reason.value
            self._heard(sensor, letter.ingested_at.timestamp())
        self._version += 1
        self._rejections.append((self._version, shown_rejection(letter)))

    def _see(self, result: FrameResult, now: float) -> None:
        sensor = self._of(result.sensor_id)
        sensor.waiting.append(result)
        self._heard(sensor, result.ingested_at.timestamp())
        self._latencies_s.append(max(0.0, now - result.ingested_at.timestamp()))
        self._suppressed.update(each.suppressed_by for each in result.sure if each.suppressed_by is not None)

    def _show(self, sensor: _Sensor, result: FrameResult) -> None:
        self._version += 1
        sensor.result, sensor.version, sensor.row_version = result, self._version, self._version
        # A message that was stepped over never comes: the picture before it stays a while, instead of one without boxes.
        if self._frames.get(result.sensor_id, result.position) is not None or _is_old(sensor.pictured, result):
            sensor.pictured = result
            self._frames.drop_before(result.sensor_id, result.position)
        at = result.captured_at.timestamp()
        for each in result.detections:
            if each.track_id is None:
                continue
            sensor.tails.setdefault(each.track_id, deque(maxlen=_TAIL_POINTS)).append((each.centroid_x_px, each.centroid_y_px))
            sensor.tails.move_to_end(each.track_id)
            sensor.tail_seen[each.track_id] = at
        for track, seen_at in list(sensor.tail_seen.items()):
            if at - seen_at > _TAIL_KEPT_S or at < seen_at - _TAIL_KEPT_S:
                del sensor.tails[track], sensor.tail_seen[track]
        while len(sensor.tails) > _TAILS:
            track, _ = sensor.tails.popitem(last=False)
            del sensor.tail_seen[track]


def _shown(sensor: _Sensor, now: float) -> dict[str, Any]:
    result = sensor.result
    shown = () if result is None else result.shown
    return {
        "key": sensor.key,
        "id": text(sensor.sensor_id),
        "version": sensor.version,
        "live_version": max(sensor.live_version, sensor.row_version),
        "row_version": sensor.row_version,
        "heard_at": round(sensor.heard_at, 3),
        "captured_at": sensor.captured_at,
        "per_s": _frequency(sensor.times, now),
        "targets": len(shown),
        "labels": sorted({text(each.label) for each in shown})[:4],
        "suppressed": 0 if result is None else len(result.sure) - len(shown),
        "row_at": None if result is None else seconds(result.ingested_at),
        "position": None if result is None else str(result.position),
        "faults": [] if result is None else [fault.value for fault in result.quality],
        "rejected": sensor.num_rejected,
        "last_reason": sensor.last_reason,
    }


def _is_old(pictured: FrameResult | None, result: FrameResult) -> bool:
    return pictured is None or abs((result.ingested_at - pictured.ingested_at).total_seconds()) > _PICTURE_KEPT_S


def _frequency(times: deque[float], now: float) -> float | None:
    """Frames a second in the last seconds by Kafka's clock; None where there are too few."""
    recent = [each for each in times if now - each < _RATE_S]
    if len(recent) < 2 or recent[-1] <= recent[0]:
        return None
    return round((len(recent) - 1) / (recent[-1] - recent[0]), 2)


def _rate(counts: deque[tuple[float, int]], now: float) -> float:
    """A second, over the last seconds."""
    recent = [(at, num) for at, num in counts if now - at < _RATE_S]
    if not recent:
        return 0.0
    span = max(1.0, min(_RATE_S, now - recent[0][0]))
    return round(sum(num for _, num in recent) / span, 1)


def _quantiles(values: Iterable[float]) -> dict[str, float] | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return {"median": round(ordered[len(ordered) // 2], 2), "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 2)}
