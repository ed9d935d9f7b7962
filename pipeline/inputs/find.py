"""From a path to what it holds: an image, a video, a folder of either, a dataset index, or a folder of such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.dataset_index import INDEX_NAME
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform
from contracts.image_files import IMAGE_SUFFIXES
from contracts.video_files import VIDEO_SUFFIXES
from pipeline.inputs.datasets import DatasetIndex
from pipeline.inputs.images import ImageFolder, list_images, natural_key
from pipeline.inputs.pictures import PictureSequence
from pipeline.inputs.videos import VideoFile, list_videos


@dataclass(frozen=True, slots=True)
class Labels:
    """Metadata that the user states for all frames; None keeps that of the input.

    Attributes:
        platform, band: of the camera.
        bit_depth: significant bits of image files.
        content_type: codec of frames that have to be encoded (videos).
        split: of dataset indexes.
        nodata: values that are no measurement, of image files; none for those that files and indexes name.
    """

    platform: Platform | None = None
    band: Band | None = None
    bit_depth: int | None = None
    content_type: ContentType = ContentType.PNG
    split: str | None = None
    nodata: tuple[float, ...] = ()


def find_sequences(paths: Sequence[Path], labels: Labels) -> list[PictureSequence]:
    """Everything the paths hold; each folder of images, each video and each dataset is one sequence.

    Raises:
        SettingsError: a path does not exist or holds nothing that can be published.
    """
    return [sequence for path in paths for sequence in _look_into(path, labels)]


def _look_into(path: Path, labels: Labels) -> list[PictureSequence]:
    if not path.exists():
        raise _nothing(path, "nothing there")
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return [_video(path, labels)]
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return [_images(path.stem, [path], labels)]
        if path.suffix == ".jsonl":
            return [_index(path, labels)]
        raise _nothing(path, f"a file of kind {path.suffix or '(none)'}")
    try:
        found = _folder(path, labels)
        if not found:
            below = sorted((child for child in path.iterdir() if child.is_dir()), key=natural_key)
            found = [sequence for child in below for sequence in _folder(child, labels)]
    except PermissionError as error:
        raise _nothing(path, f"no right to read {error.filename}") from error
    if not found:
        raise _nothing(path, "a folder without any, also one level below")
    return found


def _folder(folder: Path, labels: Labels) -> list[PictureSequence]:
    """Inputs that lie directly in a folder."""
    if (folder / INDEX_NAME).is_file():
        return [_index(folder / INDEX_NAME, labels)]
    images = list_images(folder)
    found: list[PictureSequence] = [_images(folder.resolve().name, images, labels)] if images else []
    return [*found, *(_video(path, labels) for path in list_videos(folder))]


def _images(name: str, paths: list[Path], labels: Labels) -> PictureSequence:
    return ImageFolder(name, paths, labels.platform or Platform.UNKNOWN, labels.band or Band.UNKNOWN, labels.bit_depth, labels.nodata)


def _video(path: Path, labels: Labels) -> PictureSequence:
    return VideoFile(path, labels.platform or Platform.UNKNOWN, labels.band or Band.UNKNOWN, labels.content_type)


def _index(path: Path, labels: Labels) -> PictureSequence:
    return DatasetIndex(path.resolve(), labels.platform, labels.band, labels.bit_depth, labels.split, labels.nodata)


def _nothing(path: Path, got: str) -> SettingsError:
    return SettingsError(
        expected="images (PNG, JPEG, TIFF, NPY), videos, an index.jsonl, or a folder of these",
        got=got,
        where=str(path),
        action="Check the path, or use `irstream publish synthetic`.",
    )
