"""Image files as pictures: their bytes as they are where frame message v1 takes them, else converted to grey PNG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from contracts.codecs import encode_pixels
from contracts.errors import RejectRecord
from contracts.frame import Band, ContentType, Platform
from contracts.image_files import IMAGE_SUFFIXES, read_image_file
from pipeline.inputs.pictures import Picture, Unusable


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorting key by which `frame9` comes before `frame10`."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name) if part]


def list_images(folder: Path) -> list[Path]:
    """Image files directly in a folder, in natural order."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()), key=natural_key)


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
        return Unusable(str(path), f"expected a readable file, got {error.strerror or error}")
    except RejectRecord as error:
        return Unusable(str(path), error.detail)
    if image.content_type is not None:
        return Picture(image.value, image.content_type, platform, band, bit_depth, nodata=image.nodata, headers={"item": item})
    codec = ContentType.NPY if image.pixels_HW.dtype == np.float32 else ContentType.PNG
    # Luma and foreign formats may use other bits than the user said.
    return Picture(encode_pixels(image.pixels_HW, codec), codec, platform, band, None, nodata=image.nodata, headers={"item": item})


class ImageFolder:
    """A folder of images, in natural order, as one sequence."""

    def __init__(
        self, name: str, paths: list[Path], platform: Platform, band: Band, bit_depth: int | None, nodata: tuple[float, ...] = ()
    ) -> None:
        """Remember the files; each is read when its turn comes."""
        self.name = name
        self.fps: float | None = None
        self._paths, self._platform, self._band, self._bit_depth, self._nodata = paths, platform, band, bit_depth, nodata

    @property
    def num_pictures(self) -> int:
        """Files."""
        return len(self._paths)

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Each file once."""
        for path in self._paths:
            yield read_image(path, self._platform, self._band, self._bit_depth, path.stem, self._nodata)
