"""Output of every input: pictures ready to be sent, or a word about a file that could not be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from contracts.frame import Band, ContentType, Platform, RawLayout
from synthetic.truth import FrameTruth


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One encoded frame and what is known about it.

    Attributes:
        payload: the message's value.
        content_type: its codec.
        platform, band: `unknown` where not known.
        bit_depth: significant bits; None where the container alone says it.
        raw_layout: for raw pixels.
        headers: further headers (`item` names the picture within its input).
        truth: for synthetic frames.
        nodata: values that are no measurement.
        klv: a MISB ST 0601 packet that came with it, base64.
        sensor_id, frame_id, captured_at: where the input says them; None: as its reader names and dates it.
    """

    payload: bytes
    content_type: ContentType
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    bit_depth: int | None = None
    raw_layout: RawLayout | None = None
    headers: dict[str, str] = field(default_factory=dict)
    truth: FrameTruth | None = None
    nodata: tuple[float, ...] = ()
    klv: str | None = None
    sensor_id: str | None = None
    frame_id: str | None = None
    captured_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something of an input that is no frame; publishing says so and goes on.

    Attributes:
        what: file, or part of it.
        why: expected, got.
        num: frames that are lost by it.
    """

    what: str
    why: str
    num: int = 1


class InputFile(Protocol):
    """One file of a sequence, as an archive reads it: from any of its pictures on, in another process. Can be pickled."""

    @property
    def path(self) -> Path:
        """Its place."""
        ...

    @property
    def fps(self) -> float | None:
        """Rate of its pictures, where known."""
        ...

    @property
    def labels(self) -> str:
        """All that is said of its pictures beside their bytes, as text: where that differs, the rows may."""
        ...

    @property
    def from_beginning(self) -> bool:
        """True where all pictures before one must be decoded to come to it."""
        ...

    def count(self) -> int:
        """Number of pictures, bad ones included; may take a pass over the file."""
        ...

    def pictures(self, first: int = 0) -> Iterator[Picture | Unusable]:
        """Pictures from the `first` on; an `Unusable` stands for as many as it says."""
        ...


class FileSequence(Protocol):
    """A sequence that is made of files."""

    def files(self) -> Iterator[InputFile]:
        """Its files, in the order of the pictures."""
        ...


class PictureSequence(Protocol):
    """Pictures that belong together in time or place: one folder, one clip, one camera."""

    @property
    def name(self) -> str:
        """Becomes the sensor's id, unless the user names it."""
        ...

    @property
    def num_pictures(self) -> int | None:
        """Number of pictures in a pass, bad ones included; None when unknown or without end."""
        ...

    @property
    def fps(self) -> float | None:
        """The rate it was recorded at, where known."""
        ...

    def pictures(self) -> Iterator[Picture | Unusable]:
        """One pass from the beginning; may be called again."""
        ...
