"""YOLO: a text of `class x y width height` (shares of the image's sides, or a polygon) beside each image, and names in a YAML."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from contracts.errors import SettingsError
from training.data.sources.annotation import Annotation, BoxXYWH, Listed, RefusedAnnotation, folder_named, images_below, split_of_name

_SPLITS = ("train", "val", "valid", "test")


def list_yolo(root: Path) -> Iterator[Listed]:
    """Images in `images`, labels in `labels`, in the same folders below, or `train/images` and `train/labels`.

    An image without a text has no target.

    Raises:
        SettingsError: no folder of images, or names that are no list.
    """
    names = _names(root)
    parts = [path for word in _SPLITS if (path := root / word / "images").is_dir()] or [folder_named(root, ("images",), "images")]
    for images in parts:
        labels = images.parent / "labels"
        for image in images_below(images):
            below = image.relative_to(images)
            outside = images.parent != root
            folder = images.parent.name if outside else below.parent.parts[0] if below.parent.parts else ""
            split = split_of_name(folder)
            prefix = Path(folder) / below if outside else below
            text = (labels / below).with_suffix(".txt")
            sample_id = prefix.with_suffix("").as_posix()
            yield Listed(sample_id=sample_id, annotate=_reader(image, text, sample_id, split, names))


def _names(root: Path) -> dict[int, str]:
    for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, list):
            return {number: str(name) for number, name in enumerate(names)}
        if isinstance(names, dict) and all(isinstance(number, int) for number in names):
            return {number: str(name) for number, name in names.items()}
        if names is not None:
            raise SettingsError(expected="`names`: a list, or names by number", got=repr(names), where=str(path), action="Correct it.")
    for path in (root / "classes.txt", root / "labels" / "classes.txt"):
        if path.is_file():
            return dict(enumerate(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()))
    return {}


def _reader(image: Path, text: Path, sample_id: str, split: str | None, names: dict[int, str]) -> Callable[[], Annotation]:
    def annotate() -> Annotation:
        lines = [line.split() for line in text.read_text(encoding="utf-8").splitlines() if line.split()] if text.is_file() else []
        parsed = [_target(line, names, text) for line in lines]
        polygons = [polygon for _, _, polygon in parsed]
        return Annotation(
            sample_id=sample_id,
            image=image,
            segments=tuple(polygons) if parsed and all(polygons) else None,
            boxes_xywh_px=tuple(box for _, box, _ in parsed),
            labels=tuple(label for label, _, _ in parsed),
            split=split,
            relative_boxes=True,
        )

    return annotate


def _target(line: list[str], names: dict[int, str], text: Path) -> tuple[str, BoxXYWH, Any]:
    """Class, middle and sides as shares, and the polygon in shares where there is one."""
    try:
        number, values = int(line[0]), [float(word) for word in line[1:]]
    except ValueError as error:
        raise RefusedAnnotation("annotation_invalid", f"expected numbers, got {' '.join(line)!r} ({text.name})") from error
    if not all(map(math.isfinite, values)) or len(values) < 4 or (len(values) > 5 and len(values) % 2):
        raise RefusedAnnotation("annotation_invalid", f"expected class x y width height, got {' '.join(line)!r} ({text.name})")
    if names and number not in names:
        raise RefusedAnnotation("class_unknown", f"expected one of {', '.join(map(str, names))}, got {number} ({text.name})")
    label = names.get(number, "target" if number == 0 else str(number))
    if len(values) <= 5:
        return label, (values[0], values[1], values[2], values[3]), None
    xs, ys = values[0::2], values[1::2]
    box = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys))
    return label, box, [values]
