"""Sequences become sensors, and sensors take turns: the frames to publish, in the order of their time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from contracts.frame import FrameMeta
from pipeline.inputs.pictures import Picture, PictureSequence, Unusable


@dataclass(frozen=True, slots=True, eq=False)
class FrameToSend:
    """A picture and the sensor that sends it.

    Attributes:
        fps: rate of its sequence; None for single images, which do not follow each other.
    """

    sensor_id: str
    picture: Picture
    fps: float | None = None

    def meta(self, *, frame_id: str, number: int, captured_at: datetime) -> FrameMeta:
        """The metadata of its message; what the picture says of itself counts."""
        picture = self.picture
        return FrameMeta(
            sensor_id=picture.sensor_id or self.sensor_id,
            frame_id=picture.frame_id or frame_id,
            frame_number=number,
            captured_at=picture.captured_at or captured_at,
            platform=picture.platform,
            band=picture.band,
            bit_depth=picture.bit_depth,
            content_type=picture.content_type,
            raw_layout=picture.raw_layout,
            nodata=picture.nodata,
            klv=picture.klv,
            headers=picture.headers,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """Every `step`-th picture of a sequence, from `first`."""

    whole: PictureSequence
    first: int
    step: int

    @property
    def fps(self) -> float | None:
        return self.whole.fps

    def pictures(self) -> Iterator[Picture | Unusable]:
        return islice(self.whole.pictures(), self.first, None, self.step)


class FrameSource:
    """Feed to publish: one or several sensors, each playing its sequences one after the other.

    Args:
        sequences: what there is.
        sensor: id of the sensor; several are `SENSOR-<sequence>` or `SENSOR-1` ...; None for the sequences' own names.
        num_sensors: over how many sensors the sequences are spread; None for one each.
    """

    def __init__(self, sequences: Sequence[PictureSequence], sensor: str | None = None, num_sensors: int | None = None) -> None:
        """Spread the sequences over sensors."""
        rates = [sequence.fps for sequence in sequences]
        self.fps: float | None = min((rate for rate in rates if rate is not None), default=None)
        counts = [sequence.num_pictures for sequence in sequences]
        self.num_frames: int | None = None if None in counts else sum(number for number in counts if number is not None)
        self._playlists: dict[str, list[PictureSequence | _Share]] = {}
        wanted = num_sensors or len(sequences)
        if len(sequences) == 1 and wanted > 1:
            # Its pictures are dealt out, which suits sets of single images.
            base = sensor or sequences[0].name
            self._playlists = {f"{base}-{number + 1}": [_Share(sequences[0], number, wanted)] for number in range(wanted)}
        elif wanted >= len(sequences):
            for sequence in sequences:
                alone = sequence.name if sensor is None else sensor if len(sequences) == 1 else f"{sensor}-{sequence.name}"
                self._playlists[_free(alone, self._playlists)] = [sequence]
        else:
            base = sensor or "sensor"
            self._playlists = {
                (base if wanted == 1 else f"{base}-{number + 1}"): list(sequences[number::wanted]) for number in range(wanted)
            }

    @property
    def sensors(self) -> tuple[str, ...]:
        """Sensor ids."""
        return tuple(self._playlists)

    @property
    def playlists(self) -> dict[str, tuple[PictureSequence | _Share, ...]]:
        """Sequences of each sensor, which it plays one after the other."""
        return {name: tuple(playlist) for name, playlist in self._playlists.items()}

    def frames(self) -> Iterator[FrameToSend | Unusable]:
        """One pass: sensors take turns, one frame each, until all have ended."""
        playing = {name: _played(playlist) for name, playlist in self._playlists.items()}
        while playing:
            for name in list(playing):
                entry = _next_usable(playing[name])
                yield from entry.unusable
                if entry.picture is None:
                    del playing[name]
                else:
                    yield FrameToSend(name, entry.picture, entry.fps)


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    picture: Picture | None
    fps: float | None
    unusable: tuple[Unusable, ...]


def _played(playlist: Sequence[PictureSequence | _Share]) -> Iterator[tuple[Picture | Unusable, float | None]]:
    """Pictures of sequences one after the other, each with the rate of its own sequence."""
    for sequence in playlist:
        for entry in sequence.pictures():
            yield entry, sequence.fps


def _next_usable(pictures: Iterator[tuple[Picture | Unusable, float | None]]) -> _Turn:
    """The next picture of a sensor and what was left out before it: a bad file must not cost a sensor its turn."""
    unusable: list[Unusable] = []
    for entry, fps in pictures:
        if isinstance(entry, Picture):
            return _Turn(entry, fps, tuple(unusable))
        unusable.append(entry)
    return _Turn(None, None, tuple(unusable))


def _free(name: str, taken: dict[str, list[PictureSequence | _Share]]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
