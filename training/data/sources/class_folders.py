"""A folder for each class: every image below it shows that class, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from contracts.errors import SettingsError
from training.data.sources.annotation import Annotation, Listed, images_below

_SPLITS = {"train": "train", "val": "val", "valid": "val", "test": "test"}


def list_class_folders(root: Path) -> Iterator[Listed]:
    """Images of the folders of classes, or of those below `train`, `val` and `test`.

    Raises:
        SettingsError: no image lies in a folder.
    """
    below_splits: list[tuple[Path, str | None]] = [(path, split) for word, split in _SPLITS.items() if (path := root / word).is_dir()]
    parts = below_splits or [(root, None)]
    found = False
    for part, split in parts:
        for image in images_below(part):
            below = image.relative_to(part)
            if len(below.parts) > 1:
                found = True
                name = image.relative_to(root).with_suffix("").as_posix()
                yield Listed(sample_id=name, annotate=_reader(name, image, below.parts[0], split))
    if not found:
        raise SettingsError(
            expected="a folder for each class with its images", got="none", where=str(root), action="Put the images into such folders."
        )


def _reader(name: str, image: Path, label: str, split: str | None) -> Callable[[], Annotation]:
    def annotate() -> Annotation:
        return Annotation(sample_id=name, image=image, labels=(label,), split=split)

    return annotate
