"""From a path to what it holds: an image, a video, a Parquet of frames, a folder of these, a dataset index, or a folder of such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.dataset_index import INDEX_NAME
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform
from contracts.text import counted
from pipeline.inputs.datasets import DatasetIndex
from pipeline.inputs.images import ImageFolder, is_image, list_images, natural_key
from pipeline.inputs.parquet import ParquetFrames, ParquetInput, holds_frames, is_parquet, require_frames
from pipeline.inputs.pictures import PictureSequence
from pipeline.inputs.videos import VideoFile, is_video

_SHOWN_KINDS = 5


@dataclass(frozen=True, slots=True)
class Labels:
    """Metadata that the user states for all frames; None keeps that of the input.

    Attributes:
        platform, band: of the camera.
        bit_depth: significant bits of image files, and of videos of more than 8 bits.
        content_type: codec of frames that have to be encoded (videos).
        split: of dataset indexes.
        nodata: values that are no measurement, of image files; none for those that files and indexes name.
        as_picture: whether of a radiometric JPEG the 8-bit picture is sent, not its 16-bit raster; that of an index always is.
    """

    platform: Platform | None = None
    band: Band | None = None
    bit_depth: int | None = None
    content_type: ContentType = ContentType.PNG
    split: str | None = None
    nodata: tuple[float, ...] = ()
    as_picture: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Everything that some paths hold.

    Attributes:
        sequences: each folder of images, each video and each dataset.
        left_out: what else lies there and is not sent, a sentence each.
    """

    sequences: tuple[PictureSequence, ...]
    left_out: tuple[str, ...]


def find_inputs(paths: Sequence[Path], labels: Labels, not_in: Path | None = None) -> Found:
    """Everything the paths hold, folders at every depth.

    Args:
        paths: files and folders.
        labels: metadata that the user states.
        not_in: a folder below them that is no input: that of the output.

    Raises:
        SettingsError: a path does not exist or holds nothing that can be published.
    """
    sequences: list[PictureSequence] = []
    left_out: list[str] = []
    for path in paths:
        sequences += _look_into(path, labels, left_out, not_in)
    return Found(tuple(sequences), tuple(left_out))


def find_sequences(paths: Sequence[Path], labels: Labels) -> list[PictureSequence]:
    """The sequences of `find_inputs`.

    Raises:
        SettingsError: as there.
    """
    return list(find_inputs(paths, labels).sequences)


def _look_into(path: Path, labels: Labels, left_out: list[str], not_in: Path | None) -> list[PictureSequence]:
    if not path.exists():
        raise _nothing(path, "nothing there")
    if path.is_file():
        if is_video(path):
            return _noted([_video(path, labels)], left_out)
        if is_image(path):
            return _noted([_images(path.stem, [path], labels)], left_out)
        if is_parquet(path):
            require_frames(path)
            return [_parquet(path.stem, [path], labels)]
        if path.suffix == ".jsonl":
            return [_index(path, labels)]
        raise _nothing(path, f"a file of kind {path.suffix or '(none)'}")
    others = Counter[str]()
    try:
        found = _folder(path, path.resolve().name, labels, others, {path.resolve()} | ({not_in.resolve()} if not_in else set()))
    except PermissionError as error:
        raise _nothing(path, f"no right to read {error.filename}") from error
    if not found:
        raise _nothing(path, "a folder without any, at any depth")
    _noted(found, left_out)
    if others:
        kinds = ", ".join(f"{num} {kind}" for kind, num in others.most_common(_SHOWN_KINDS))
        more = f", and {counted(len(others) - _SHOWN_KINDS, 'more kind')}" if len(others) > _SHOWN_KINDS else ""
        left_out.append(f"{path}: {counted(others.total(), 'file')} without the name of an image or video ({kinds}{more})")
    return found


def _folder(folder: Path, name: str, labels: Labels, others: Counter[str], seen: set[Path], below: str = "") -> list[PictureSequence]:
    """Inputs that lie in a folder and in those below it; a link to a folder that was seen is not followed."""
    if (folder / INDEX_NAME).is_file():
        return [_index(folder / INDEX_NAME, labels)]
    children = sorted(folder.iterdir(), key=natural_key)
    images = list_images(folder)
    found: list[PictureSequence] = [_images(name, images, labels)] if images else []
    found += (_video(path, labels) for path in children if is_video(path) and path.is_file())
    parquet = [path for path in children if is_parquet(path) and path.is_file() and holds_frames(path)]
    found += [_parquet(name, parquet, labels)] if parquet else []
    for child in children:
        if child.is_dir():
            place = child.resolve()
            if child.name.startswith("."):
                others["hidden folder"] += 1
            elif place not in seen:
                seen.add(place)
                found += _folder(child, f"{below}{child.name}", labels, others, seen, f"{below}{child.name}-")
        elif not child.is_file():  # a pipe, or a link to nothing or to itself
            others["broken link" if child.is_symlink() else "no file"] += 1
        elif not is_image(child) and not is_video(child) and child not in parquet:
            others["hidden" if child.name.startswith(".") else child.suffix.lower() or "without suffix"] += 1
    return found


def _images(name: str, paths: list[Path], labels: Labels) -> PictureSequence:
    platform, band = labels.platform or Platform.UNKNOWN, labels.band or Band.UNKNOWN
    return ImageFolder(name, paths, platform, band, labels.bit_depth, labels.nodata, as_picture=labels.as_picture)


def _noted(found: list[PictureSequence], left_out: list[str]) -> list[PictureSequence]:
    """The same, with sentences about what lies in its files beside frames and sound."""
    for each in found:
        if isinstance(each, VideoFile) and each.unread:
            left_out.append(f"{each.path}: {counted(len(each.unread), 'stream')} without frames: {', '.join(each.unread)}")
        elif isinstance(each, ImageFolder):
            left_out += each.beside()
    return found


def _video(path: Path, labels: Labels) -> VideoFile:
    return VideoFile(path, labels.platform or Platform.UNKNOWN, labels.band or Band.UNKNOWN, labels.content_type, labels.bit_depth)


def _parquet(name: str, paths: list[Path], labels: Labels) -> PictureSequence:
    return ParquetFrames(
        name, [ParquetInput(path, labels.platform, labels.band, labels.bit_depth, labels.nodata, labels.split) for path in paths]
    )


def _index(path: Path, labels: Labels) -> PictureSequence:
    return DatasetIndex(path.resolve(), labels.platform, labels.band, labels.bit_depth, labels.split, labels.nodata)


def _nothing(path: Path, got: str) -> SettingsError:
    return SettingsError(
        expected="images (PNG, JPEG, TIFF, NPY), videos, an index.jsonl, a Parquet of frames, or a folder of these",
        got=got,
        where=str(path),
        action="Check the path, or use `irstream publish synthetic`.",
    )
