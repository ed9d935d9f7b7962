"""The job of a stream: its settings and its networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.limits import InputLimits
from pipeline.inference.router import ModelHandles
from pipeline.kafka.settings import KafkaSettings
from pipeline.settings import AlertSettings, MinScores, SensorSettings, StreamSettings
from pipeline.table.settings import SinkSettings


@dataclass(frozen=True, slots=True, eq=False)
class StreamJob:
    """Settings and the three networks of a stream.

    Attributes:
        alerts: what makes an alert.
        sensors: what differs for single sensors, by their ids.
        selected_offsets: the only offsets to read, per partition, ascending, each once; empty for the whole topic. With them the stream
            is bounded: it ends behind the last one.
    """

    run_id: str
    kafka: KafkaSettings
    stream: StreamSettings
    limits: InputLimits
    sink: SinkSettings
    models: ModelHandles
    selected_offsets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    sensors: Mapping[str, SensorSettings] = field(default_factory=dict)

    @property
    def min_scores(self) -> MinScores:
        """Least scores of rows and alerts."""
        return MinScores(self.stream.min_score, self.alerts.min_score, self.sensors)
