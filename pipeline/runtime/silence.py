"""Rows of each sensor, and sensors that fell silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.runtime.progress import SilentSensor

OTHER_SENSORS = "(others)"
NO_ID = "(no sensor id)"
SENSORS_AT_MOST = 1000  # a producer may use any key, a new one for each message even
_SILENT_LEAST_S = 15.0
_TIMES_USUAL = 10.0
_FRAMES_AT_LEAST = 5
_FORGOTTEN_S = 86_400.0


@dataclass(slots=True)
class _Sensor:
    """One sensor; times of Kafka say how often it sends, whatever pace we read at."""

    rows: int = 0
    seen_s: float = 0.0
    first_at: datetime | None = None
    last_at: datetime | None = None
    partition: int = 0

    @property
    def usual_s(self) -> float | None:
        if self.first_at is None or self.last_at is None or self.rows < _FRAMES_AT_LEAST:
            return None
        return max(0.0, (self.last_at - self.first_at).total_seconds()) / (self.rows - 1)


class Sensors:
    """Counts of a stream by sensor; not for several threads at once."""

    def __init__(self) -> None:
        """No row yet."""
        self._each: dict[str, _Sensor] = {}
        self._read: frozenset[int] | None = None

    def read_from(self, partitions: frozenset[int]) -> None:
        """Only these partitions are read from now on: of sensors in others somebody else hears."""
        self._read = partitions

    def saw(self, sensor_id: str | None, now_s: float, ingested_at: datetime, partition: int = 0) -> None:
        """A row of a sensor became visible.

        Args:
            sensor_id: None where its message has none.
            now_s: seconds of the clock that `silent` is asked by.
            ingested_at: Kafka's time of the message.
            partition: where its message lies.
        """
        name = sensor_id or NO_ID
        if name not in self._each and len(self._each) >= SENSORS_AT_MOST:
            name = OTHER_SENSORS
        sensor = self._each.setdefault(name, _Sensor())
        sensor.rows += 1
        sensor.seen_s = now_s
        sensor.first_at = ingested_at if sensor.first_at is None else sensor.first_at
        sensor.last_at = ingested_at
        sensor.partition = partition

    def rows(self) -> dict[str, int]:
        """Rows of each sensor; those of more than a thousand are counted together."""
        return {name: sensor.rows for name, sensor in self._each.items()}

    def silent(self, now_s: float) -> tuple[SilentSensor, ...]:
        """Sensors without a row for ten times as long as usual, and for 15 s at least; longest first.

        Who is silent for a day is forgotten. Ask only while the stream keeps up: otherwise their frames may wait in Kafka.
        """
        found = []
        for name, sensor in self._each.items():
            usual_s, silent_s = sensor.usual_s, now_s - sensor.seen_s
            if name in (OTHER_SENSORS, NO_ID) or usual_s is None:
                continue
            if self._read is not None and sensor.partition not in self._read:
                continue
            if max(_SILENT_LEAST_S, _TIMES_USUAL * usual_s) < silent_s < _FORGOTTEN_S:
                found.append(SilentSensor(name, silent_s, usual_s))
        return tuple(sorted(found, key=lambda each: -each.silent_s))
