"""What a stream is made of."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.limits import InputLimits
from pipeline.kafka_client import KafkaSettings
from pipeline.router import ModelHandles
from pipeline.settings import StreamSettings
from pipeline.sink_settings import SinkSettings


@dataclass(frozen=True, slots=True, eq=False)
class StreamJob:
    """What to stream: the settings it needs and the three networks."""

    run_id: str
    kafka: KafkaSettings
    stream: StreamSettings
    limits: InputLimits
    sink: SinkSettings
    models: ModelHandles
