"""Progress of a running stream: the live view, the summary and `--json` all read these."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class StreamProgress:
    """A snapshot, about once a second.

    Attributes:
        frames_in: messages read since the start of the command.
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
