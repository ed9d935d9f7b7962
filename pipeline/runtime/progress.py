"""Progress of a running stream: the live view, the summary and `--json` all read these."""

from __future__ import annotations

from dataclasses import dataclass, field

BEHIND_S = 5.0
"""A stream is behind when what waits in Kafka is worth more than this, at the faster of both rates."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """One model task so far.

    Attributes:
        batch_size_mean: items per batch, mean over frames of the last seconds.
        closed_by: how often each cause closed the batch of a frame.
    """

    task: str
    batch_size_mean: float = 0.0
    closed_by: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SilentSensor:
    """A sensor whose frames stay away.

    Attributes:
        silent_s: since its last row.
        usual_s: between its frames until then.
    """

    sensor_id: str
    silent_s: float
    usual_s: float


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """A snapshot, about once a second.

    Attributes:
        frames_in: messages read since the start of the command; those that a failure dropped count when they are read again.
        frames_out: rows visible in the table since then (all statuses).
        rejected: of those, rejected.
        gaps: gap rows.
        detections: detections in those rows.
        suppressed: of those, how many each filter keeps out of alerts.
        lag: messages in Kafka without a row yet (None while unknown).
        fps_in: messages per second read, over the last seconds.
        fps_out: rows per second made visible, over the last seconds.
        latency_p50_s: message time (Kafka's timestamp) to row visible, over the last seconds; None before the first.
        latency_p99_s: the same, 99th percentile.
        tasks: the three model tasks.
        generation: 1 for the first; every restart after a failure adds one.
        state: `starting`, `streaming`, `standby` (other drivers have all partitions), `restarting`, `draining` or `done`.
        note: last thing worth reporting (a failure that led to a restart, say).
        elapsed_s: since the start of the command.
        busy_s: of that, time in which frames were between Kafka and the table.
        offered_fps: messages per second that come into our partitions of Kafka; None while unknown.
        away: what does not answer, such as `Kafka 127.0.0.1:9092`; empty while all do.
        away_s: for how long.
        silent: sensors whose frames stay away although we keep up, longest first.
    """

    frames_in: int = 0
    frames_out: int = 0
    rejected: int = 0
    gaps: int = 0
    detections: int = 0
    lag: int | None = None
    fps_in: float = 0.0
    fps_out: float = 0.0
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    tasks: tuple[TaskProgress, ...] = ()
    generation: int = 1
    state: str = "starting"
    note: str = ""
    elapsed_s: float = 0.0
    suppressed: dict[str, int] = field(default_factory=dict)
    busy_s: float = 0.0
    offered_fps: float | None = None
    away: str = ""
    away_s: float = 0.0
    silent: tuple[SilentSensor, ...] = ()

    @property
    def in_flight(self) -> int:
        """Messages that are read and have no row yet."""
        return max(0, self.frames_in - (self.frames_out - self.gaps))

    @property
    def keeps_up(self) -> bool | None:
        """True while what waits in Kafka is a matter of seconds; None while unknown."""
        if self.lag is None:
            return None
        return self.lag <= BEHIND_S * max(self.offered_fps or 0.0, self.fps_out)


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """Summary of a finished stream.

    Attributes:
        progress: the last snapshot (`state` is `done`).
        drained: whether everything read has its row.
        table: path or URL of the results table.
        table_version: Delta version of its last commit, by whomever.
        by_sensor: rows per sensor.
        by_label: detections per label.
        stage_ms_mean: mean milliseconds per frame and stage (`read decode wait detect segment classify fuse`).
        latency_p50_s: over the whole run.
        latency_p99_s: over the whole run.
    """

    progress: StreamProgress
    drained: bool
    table: str
    table_version: int | None
    by_sensor: dict[str, int]
    by_label: dict[str, int]
    stage_ms_mean: dict[str, float]
    latency_p50_s: float | None
    latency_p99_s: float | None
