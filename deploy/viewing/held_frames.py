"""Messages of frames, held until their rows are there: bounded in bytes, and one sensor cannot take the room of the others."""

from __future__ import annotations

from collections import OrderedDict

from contracts.frame import RawRecord
from contracts.position import KafkaPosition

_OVERHEAD_BYTES = 512
_MOST_OF_A_SENSOR = 256


class HeldFrames:
    """Newest messages of each sensor, by sensor and position."""

    def __init__(self, max_bytes: int) -> None:
        """Nothing is held yet.

        Args:
            max_bytes: of all messages together.
        """
        self._max_bytes = max_bytes
        self._frames: dict[str, OrderedDict[KafkaPosition, RawRecord]] = {}
        self._bytes: dict[str, int] = {}
        self.num_bytes = 0

    def add(self, sensor_id: str, record: RawRecord) -> None:
        """Hold a message; what does not fit gives way, oldest first, of the sensor that takes most room."""
        if record.position in self._frames.get(sensor_id, ()):
            return
        mine = self._frames.setdefault(sensor_id, OrderedDict())
        mine[record.position] = record
        self._grow(sensor_id, _size(record))
        if len(mine) > _MOST_OF_A_SENSOR:
            self._drop_oldest(sensor_id)
        while self.num_bytes > self._max_bytes and self._frames:
            self._drop_oldest(max(self._bytes, key=self._bytes.__getitem__))

    def get(self, sensor_id: str, position: KafkaPosition) -> RawRecord | None:
        """The message at a position; None where it is not held."""
        mine = self._frames.get(sensor_id)
        return None if mine is None else mine.get(position)

    def newest(self, sensor_id: str) -> RawRecord | None:
        """The message that came last; None where none is held."""
        mine = self._frames.get(sensor_id)
        return next(reversed(mine.values())) if mine else None

    def drop_before(self, sensor_id: str, position: KafkaPosition) -> None:
        """Let go of what lies before a position in its partition: nobody will ask for it any more."""
        mine = self._frames.get(sensor_id, OrderedDict())
        old = [each for each in mine if each.topic_partition == position.topic_partition and each.offset < position.offset]
        for each in old:
            if len(mine) > 1:
                self._grow(sensor_id, -_size(mine.pop(each)))

    def forget(self, sensor_id: str) -> None:
        """Let go of all messages of a sensor."""
        while sensor_id in self._frames:
            self._drop_oldest(sensor_id)

    def _drop_oldest(self, sensor_id: str) -> None:
        _, record = self._frames[sensor_id].popitem(last=False)
        self._grow(sensor_id, -_size(record))
        if not self._frames[sensor_id]:
            del self._frames[sensor_id], self._bytes[sensor_id]

    def _grow(self, sensor_id: str, num_bytes: int) -> None:
        self._bytes[sensor_id] = self._bytes.get(sensor_id, 0) + num_bytes
        self.num_bytes += num_bytes


def _size(record: RawRecord) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + _OVERHEAD_BYTES
