"""Image files as pictures: their bytes as they are where frame message v1 takes them, else converted to grey PNG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from contracts.codecs import check_counts, encode_pixels
from contracts.errors import RejectRecord
from contracts.flir import is_radiometric, read_radiometry
from contracts.frame import Band, ContentType, Platform
from contracts.frame_files import num_frames, read_frames
from contracts.image_files import FILE_LIMITS, FRAME_SUFFIXES, IMAGE_SUFFIXES, ImageFile, read_image_file
from contracts.jpeg_extras import beside_the_picture
from contracts.probes import sniff
from contracts.text import counted
from pipeline.inputs.pictures import Picture, Unusable

_JPEG, _MOST_LOOKED_AT = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}), 200


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorting key by which `frame9` comes before `frame10`."""
    # Decimal digits of every script are numbers to Python; circled and raised ones are not.
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name) if part]


def list_images(folder: Path) -> list[Path]:
    """Image files directly in a folder, in natural order; those of formats that are not read too, for a word about them."""
    return sorted((path for path in folder.iterdir() if is_image(path) and path.is_file()), key=natural_key)


def is_image(path: Path) -> bool:
    """True where the name is that of an image file, of a format that is read or not."""
    return path.suffix.lower() in IMAGE_SUFFIXES | FRAME_SUFFIXES and not path.name.startswith(".")


def read_image(
    path: Path, platform: Platform, band: Band, bit_depth: int | None, item: str, nodata: tuple[float, ...] = ()
) -> Picture | Unusable:
    """Read one file and make sure that it can be decoded as one grey frame.

    Args:
        path: the file.
        platform: where the camera is.
        band: of the camera.
        bit_depth: significant bits; None where only the container says it.
        item: name of the picture, for the header `item`.
        nodata: values that are no measurement; none: those the file names.
    """
    try:
        image = read_image_file(path, bit_depth, nodata=nodata)
    except OSError as error:
        return _unreadable(path, error)
    except RejectRecord as error:
        return Unusable(str(path), error.detail)
    return picture_of(image, platform, band, bit_depth, item)


def read_images(
    path: Path, platform: Platform, band: Band, bit_depth: int | None, nodata: tuple[float, ...] = (), *, as_picture: bool = False
) -> Iterator[Picture | Unusable]:
    """Every frame of a file: the pages of a TIFF, the pictures of a multi-picture JPEG, else the one there is.

    As `read_image`; of several frames, `item` is `name/number`. Of a radiometric JPEG the frame is its 16-bit raster, with the constants of
    its measurement as headers; `as_picture` takes the 8-bit picture instead.
    """
    try:
        if not as_picture and (radiometric := _radiometric(path, platform, band, bit_depth, nodata)) is not None:
            yield radiometric
            return
        num = num_frames(path)
        for number, image in enumerate(read_frames(path, bit_depth, nodata)):
            item = path.stem if num == 1 else f"{path.stem}/{number}"
            if isinstance(image, ImageFile):
                yield picture_of(image, platform, band, bit_depth, item)
            else:
                yield Unusable(str(path) if num == 1 else f"{path}, frame {number}", image.detail)
    except OSError as error:
        yield _unreadable(path, error)


def _radiometric(path: Path, platform: Platform, band: Band, bit_depth: int | None, nodata: tuple[float, ...]) -> Picture | Unusable | None:
    """The measurement in a radiometric JPEG; None of every other file."""
    with path.open("rb") as file:
        if sniff(file.read(8)) is not ContentType.JPEG or path.stat().st_size > FILE_LIMITS.max_bytes:
            return None
        file.seek(0)
        value = file.read()
    try:
        if not is_radiometric(value):
            return None
    except RejectRecord:
        return None  # the reader of pictures says what is wrong with it
    try:
        radiometry = read_radiometry(value, FILE_LIMITS)
        check_counts(radiometry.pixels_HW, bit_depth, nodata)
    except RejectRecord as error:
        return Unusable(str(path), f"{error.detail} (in the 16-bit raster of a radiometric JPEG; the 8-bit picture can be sent instead)")
    headers = {"item": path.stem} | {name: f"{value:.9g}" for name, value in radiometry.constants.items()}
    value = encode_pixels(radiometry.pixels_HW, ContentType.PNG)
    return Picture(value, ContentType.PNG, platform, band, bit_depth, nodata=nodata, headers=headers)


def _unreadable(path: Path, error: OSError) -> Unusable:
    return Unusable(str(path), f"expected a readable file, got {error.strerror or error}")


def picture_of(image: ImageFile, platform: Platform, band: Band, bit_depth: int | None, item: str, **own: Any) -> Picture:
    """A decoded file as a picture: its bytes as they are where a message takes them, else encoded anew.

    Args:
        image: the file.
        platform: where the camera is.
        band: of the camera.
        bit_depth: significant bits as stated; None where only the container says it.
        item: name of the picture, for the header `item`.
        own: further fields of `Picture`.
    """
    headers = {"item": item}
    if image.content_type is not None:
        return Picture(image.value, image.content_type, platform, band, bit_depth, nodata=image.nodata, headers=headers, **own)
    codec = ContentType.NPY if image.pixels_HW.dtype == np.float32 else ContentType.PNG
    # Luma and foreign formats may use other bits than the user said.
    stated = image.bit_depth if image.bit_depth == bit_depth else None
    return Picture(encode_pixels(image.pixels_HW, codec), codec, platform, band, stated, nodata=image.nodata, headers=headers, **own)


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image file of one frame or several, as an `InputFile`; fields as the arguments of `read_images`."""

    path: Path
    platform: Platform
    band: Band
    bit_depth: int | None
    nodata: tuple[float, ...]
    as_picture: bool
    fps: float | None = None
    from_beginning: bool = False

    @property
    def labels(self) -> str:
        """See `InputFile`."""
        return repr((str(self.platform), str(self.band), self.bit_depth, self.nodata, self.as_picture))

    def count(self) -> int:
        """See `InputFile`."""
        num = num_frames(self.path)
        if num > 1 and not self.as_picture and _is_radiometric_file(self.path):
            return 1
        return num

    def pictures(self, first: int = 0) -> Iterator[Picture | Unusable]:
        """See `InputFile`."""
        found = read_images(self.path, self.platform, self.band, self.bit_depth, self.nodata, as_picture=self.as_picture)
        return islice(found, first, None)


def _is_radiometric_file(path: Path) -> bool:
    try:
        return is_radiometric(path.read_bytes())
    except (OSError, RejectRecord):
        return False


class ImageFolder:
    """A folder of images, in natural order, as one sequence."""

    def __init__(
        self,
        name: str,
        paths: list[Path],
        platform: Platform,
        band: Band,
        bit_depth: int | None,
        nodata: tuple[float, ...] = (),
        *,
        as_picture: bool = False,
    ) -> None:
        """Remember the files; each is read when its turn comes."""
        self.name = name
        self.fps: float | None = None
        self._paths, self._platform, self._band, self._bit_depth, self._nodata = paths, platform, band, bit_depth, nodata
        self._as_picture = as_picture

    @property
    def num_pictures(self) -> int:
        """Frames of all files."""
        return self._num_frames

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Each file once."""
        for path in self._paths:
            yield from read_images(path, self._platform, self._band, self._bit_depth, self._nodata, as_picture=self._as_picture)

    def files(self) -> Iterator[ImageInput]:
        """See `FileSequence`."""
        for path in self._paths:
            yield ImageInput(path, self._platform, self._band, self._bit_depth, self._nodata, self._as_picture)

    def beside(self) -> list[str]:
        """A sentence for each place of JPEG files where data lie that are not read; none where their pictures were asked for.

        Files of one folder are alike, and each of these is read for it: of many the first ones are looked at, and the sentence says so.
        """
        found: dict[str, list[tuple[Path, int]]] = {}
        looked_at = [path for path in self._paths if path.suffix.lower() in _JPEG][:_MOST_LOOKED_AT]
        of_first = f" of the first {_MOST_LOOKED_AT}" if len(looked_at) == _MOST_LOOKED_AT else ""
        for path in () if self._as_picture else looked_at:
            with suppress(OSError):
                for place, num_bytes in beside_the_picture(path).items():
                    found.setdefault(place, []).append((path, num_bytes))
        return [
            f"{files[0][0].parent}: {counted(len(files), 'JPEG')}{of_first} with data {'in ' if place.startswith('APP') else ''}{place} "
            f"({files[0][1]:,} bytes in {files[0][0].name}), a raster, picture or video that nothing here reads"
            for place, files in found.items()
        ]

    @cached_property
    def _num_frames(self) -> int:
        return sum(num_frames(path) for path in self._paths)
