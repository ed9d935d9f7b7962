"""The same picture again, from a sensor that says it moves on: a hung camera looks healthy to everything else."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import numpy as np

from contracts.frame import FrameMeta, Pixels
from contracts.position import KafkaPosition

_MOST_SENSORS = 4096


@dataclass(frozen=True, slots=True)
class _Last:
    offset: int
    frame_number: int | None
    stated_at: datetime | None
    digest: tuple[int, tuple[int, ...], str]


class LastPictures:
    """The last picture of each sensor of each partition, as a checksum; bounded, the sensor heard last longest ago goes first.

    It lives in the process that reads: the first frame after a change of reader is compared with nothing.
    """

    def __init__(self, most_sensors: int = _MOST_SENSORS) -> None:
        """Nothing seen yet."""
        self._most_sensors = most_sensors
        self._seen: OrderedDict[tuple[str, int, str], _Last] = OrderedDict()
        self._lock = Lock()

    def is_again(self, position: KafkaPosition, meta: FrameMeta, ingested_at: datetime, pixels_HW: Pixels) -> bool:
        """Note a picture; True where the sensor's last one was the same and its number or capture time is another now.

        Args:
            position: of the message; one that was read before is compared with nothing.
            meta: its headers.
            ingested_at: Kafka's timestamp; a capture time equal to it was not stated by the sensor.
            pixels_HW: counts without rows of telemetry.
        """
        counts_HW = np.ascontiguousarray(pixels_HW)
        digest = (zlib.crc32(counts_HW.tobytes()), counts_HW.shape, counts_HW.dtype.name)
        stated_at = None if meta.captured_at == ingested_at else meta.captured_at
        now = _Last(position.offset, meta.frame_number, stated_at, digest)
        key = (position.topic, position.partition, meta.sensor_id)
        with self._lock:
            last = self._seen.pop(key, None)
            self._seen[key] = now
            if len(self._seen) > self._most_sensors:
                self._seen.popitem(last=False)
        if last is None or last.offset >= now.offset or last.digest != digest:
            return False
        return _moved(last.frame_number, now.frame_number) or _moved(last.stated_at, stated_at)


def _moved(before: object, now: object) -> bool:
    return before is not None and now is not None and before != now
