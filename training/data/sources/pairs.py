"""Folders of images and masks of the same names: segmentation sets as their authors publish them, WideIRSTD with its statistics too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from contracts.errors import SettingsError
from contracts.words import band_named, platform_named
from training.data.sources.annotation import Annotation, Listed, folder_named, images_below, split_of_name

_ENDINGS = ("", "_pixels0", "_mask", "_gt", "-mask")
_LISTS = ("img_idx", "splits", "50_50", "idx_427", ".")
_STATISTICS = "statistics.txt"


def list_pairs(root: Path, statistics: bool = False) -> Iterator[Listed]:
    """Images in `images`, masks in `masks`; lists of names with `train`, `val` or `test` in theirs say the split.

    An image without a mask was not drawn in.

    Args:
        root: folder of the two.
        statistics: platform and band stand in `statistics.txt` (WideIRSTD).

    Raises:
        SettingsError: a folder is not there, or statistics were asked for and are not.
    """
    known = _statistics(root) if statistics else {}
    images, masks = folder_named(root, ("images", "img", "mixed"), "images"), folder_named(root, ("masks", "mask", "label"), "masks")
    mask_of = {path.relative_to(masks).with_suffix("").as_posix(): path for path in images_below(masks)}
    splits = _splits(root)
    for image in images_below(images):
        name = image.relative_to(images).with_suffix("").as_posix()
        mask = next((mask_of[name + ending] for ending in _ENDINGS if name + ending in mask_of), None)
        yield Listed(sample_id=name, annotate=_reader(name, image, mask, splits.get(name), known.get(name, ("", ""))))


def _reader(name: str, image: Path, mask: Path | None, split: str | None, known: tuple[str, str]) -> Callable[[], Annotation]:
    def annotate() -> Annotation:
        return Annotation(sample_id=name, image=image, mask=mask, split=split, platform=platform_named(known[0]), band=band_named(known[1]))

    return annotate


def _splits(root: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for folder in _LISTS:
        # A list named `trainval` says less than `train` and `val`.
        for path in sorted((root / folder).glob("*.txt"), key=lambda path: (split_of_name(path.stem) != "trainval", path)):
            split = split_of_name(path.stem)
            if split and path.name != _STATISTICS:
                splits |= {line.strip(): split for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
        if splits:
            break
    return splits


def _statistics(root: Path) -> dict[str, tuple[str, str]]:
    path = root / _STATISTICS
    if not path.is_file():
        raise SettingsError(
            expected=f"a file {_STATISTICS} with platform and band of each image", got="none", where=str(root), action="Put it there."
        )
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return {line[0]: (line[1], line[2]) for line in lines if len(line) >= 3}
