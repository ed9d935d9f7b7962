"""The job of a stream: its settings and its networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from contracts.limits import InputLimits
from pipeline.events.alerts import AlertPolicy
from pipeline.inference.router import ModelHandles
from pipeline.inference.rules import LiveRules
from pipeline.inference.shadow import LiveShadow
from pipeline.ingest.interfaces import ReadPlan
from pipeline.kafka.settings import KafkaSettings
from pipeline.settings import StreamSettings
from pipeline.table.settings import SinkSettings
from pipeline.tracks.settings import TrackSettings


@dataclass(frozen=True, slots=True, eq=False)
class StreamJob:
    """Settings and the three networks of a stream.

    Attributes:
        rules: least scores and filters of sensors; they may be exchanged while the stream runs.
        shadow: a candidate beside the three networks; it may be exchanged while the stream runs.
        tracks: when tracks begin and end, and how often targets are reported.
        selected_offsets: the only offsets to read, per partition, ascending, each once; empty for the whole topic. With them the stream
            is bounded: it ends behind the last one.
        divide: cuts the plan of a bounded generation into pieces that are read side by side; None: one reader a partition.
    """

    run_id: str
    kafka: KafkaSettings
    stream: StreamSettings
    limits: InputLimits
    sink: SinkSettings
    models: ModelHandles
    selected_offsets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    rules: LiveRules = field(default_factory=LiveRules)
    shadow: LiveShadow = field(default_factory=LiveShadow)
    divide: Callable[[ReadPlan], ReadPlan] | None = None
    tracks: TrackSettings = field(default_factory=TrackSettings)

    @property
    def alerts(self) -> AlertPolicy:
        """Kind of messages: for selected frames not events of targets, whose other frames are missing."""
        return "detections" if self.selected_offsets and self.sink.alerts == "events" else self.sink.alerts
