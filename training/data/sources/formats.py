"""Formats by the names that `irstream dataset import` knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from contracts.choices import chosen
from contracts.dataset_index import INDEX_NAME
from contracts.errors import SettingsError
from training.data.sources.annotation import Listed
from training.data.sources.class_folders import list_class_folders
from training.data.sources.coco import list_coco
from training.data.sources.index import list_index
from training.data.sources.pairs import list_pairs
from training.data.sources.voc import list_voc
from training.data.sources.yolo import list_yolo


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        listing: images of a folder.
        known: known data set that it is; None for a format of any set.
    """

    listing: Callable[[Path], Iterator[Listed]]
    known: str | None = None


def _known(name: str, upstream: Callable[[Path], Iterator[Listed]] | None) -> Format:
    """A known set: by its index where there is one, else in the layout of its authors."""

    def listing(root: Path) -> Iterator[Listed]:
        if upstream is None or (root / INDEX_NAME).is_file():
            return list_index(root, name)
        return upstream(root)

    return Format(listing, name)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "sirst": _known("sirst-v2", list_pairs),
        "nudt": _known("nudt-sirst", list_pairs),
        "irstd": _known("irstd-1k", list_pairs),
        "hituav": _known("hit-uav", list_coco),
        "droneir": _known("drone-ir", None),
        "index": Format(lambda root: list_index(root, None)),
        "coco": Format(list_coco),
        "voc": Format(list_voc),
        "yolo": Format(list_yolo),
        "wideirstd": Format(lambda root: list_pairs(root, statistics=True)),
        "masks": Format(list_pairs),
        "folders": Format(list_class_folders),
    }
)


def format_named(name: str, root: Path) -> Format:
    """The format of a name, for a path that is there.

    Raises:
        SettingsError: no such format, or no such path.
    """
    found = chosen(FORMATS, name, "format of the data set")
    if not root.exists():
        raise SettingsError(expected="a folder or file", got="nothing", where=str(root), action="Check the path.")
    return found
