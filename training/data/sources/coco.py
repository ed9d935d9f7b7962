"""COCO: one JSON of images, annotations and categories for each split."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from contracts.errors import SettingsError
from contracts.words import band_named, platform_named
from training.data.sources.annotation import Annotation, Listed, RefusedAnnotation, below, split_of_name

_IMAGE_KEYS = frozenset({"id", "file_name", "width", "height", "sample_id"})
_IGNORED = frozenset({"dontcare", "ignore"})


def list_coco(root: Path) -> Iterator[Listed]:
    """Images of every JSON below a folder, or of the one that is named.

    The name of the JSON says the split (`instances_val2017.json`), else that of its folder (`train/_annotations.coco.json`). Images lie
    beside the JSON, or in folders `images`, or those of the split, up to two folders above. Their names keep the folders that the JSON
    names them with.

    Raises:
        SettingsError: there is none, or one is no COCO file.
    """
    files = [root] if root.is_file() else sorted(root.rglob("*.json"))
    read = [(file, content) for file in files if (content := _content(file, len(files) == 1)) is not None]
    if not read:
        raise SettingsError(
            expected="a JSON with `images`, `annotations` and `categories`",
            got=f"{len(files)} JSON files without them",
            where=str(root),
            action="Name the file or its folder.",
        )
    top = root if root.is_dir() else root.parent
    stems = Counter(file.stem for file, _ in read)
    for file, content in read:
        alone = file.relative_to(top).with_suffix("").as_posix() if stems[file.stem] > 1 else file.stem
        yield from _images(top, file, content, f"{alone}/" if len(read) > 1 else "")


def _content(file: Path, alone: bool) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        if not alone:
            return None
        raise SettingsError(expected="a COCO file", got=str(error), where=str(file), action="Check the file.") from error
    kinds = [isinstance(content, dict) and isinstance(content.get(key), list) for key in ("images", "annotations", "categories")]
    return content if all(kinds) else None


def _images(top: Path, file: Path, content: dict[str, Any], prefix: str) -> Iterator[Listed]:
    names = {each.get("id"): str(each.get("name")) for each in content["categories"] if isinstance(each, dict)}
    of_image: dict[Any, list[Any]] = defaultdict(list)
    for each in content["annotations"]:
        if isinstance(each, dict):
            of_image[each.get("image_id")].append(each)
    split = _split(top, file)
    licence = {each.get("id"): each.get("name") for each in content.get("licenses") or () if isinstance(each, dict)}
    for number, image in enumerate(content["images"]):
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or not PurePosixPath(image["file_name"]).name:
            yield Listed(sample_id=f"{file.name}:images[{number}]", annotate=_refuse("expected an object with file_name"))
            continue
        name = image["file_name"]
        own = image.get("sample_id")  # of an export of ours
        sample_id = own if isinstance(own, str) and own else prefix + PurePosixPath(name).with_suffix("").as_posix()
        yield Listed(sample_id=sample_id, annotate=_reader(top, file, sample_id, image, of_image[image.get("id")], names, split, licence))


def _split(top: Path, file: Path) -> str | None:
    """The split of a JSON: of its own name, else of the nearest folder that has one, up to the folder of the set."""
    folders = reversed(file.parent.relative_to(top).parts or (file.parent.resolve().name,))
    return next((split for name in (file.stem, *folders) if (split := split_of_name(name))), None)


def _refuse(detail: str) -> Callable[[], Annotation]:
    def annotate() -> Annotation:
        raise RefusedAnnotation("annotation_invalid", detail)

    return annotate


def _reader(
    top: Path, file: Path, sample_id: str, image: dict[str, Any], drawn: list[Any], names: dict[Any, str], split: str | None, licence: Any
) -> Callable[[], Annotation]:
    def annotate() -> Annotation:
        boxes, labels = [], []
        for each in drawn:
            box = each.get("bbox")
            if not (isinstance(box, list) and len(box) == 4 and all(isinstance(number, int | float) for number in box)):
                raise RefusedAnnotation("annotation_invalid", f"expected bbox [x, y, width, height], got {box!r}")
            if each.get("category_id") not in names:
                raise RefusedAnnotation("class_unknown", f"expected a category of the file, got {each.get('category_id')!r}")
            boxes.append((float(box[0]), float(box[1]), float(box[2]), float(box[3])))
            label = names[each["category_id"]]
            labels.append("ignore" if each.get("iscrowd") or label.lower() in _IGNORED else label)
        # Whoever draws a crowd says where targets are, not which pixels are theirs.
        segments = [each.get("segmentation") for each, label in zip(drawn, labels, strict=True) if label != "ignore"]
        masked = bool(drawn) and all(segments) and all(each.get("segmentation") for each in drawn)
        group = next((str(image[key]) for key in ("group_id", "video_id", "sequence", "scene", "clip") if image.get(key) is not None), None)
        return Annotation(
            sample_id=sample_id,
            image=_image_file(top, file, image["file_name"], split),
            segments=tuple(segments) if masked else None,
            boxes_xywh_px=tuple(boxes),
            labels=tuple(labels),
            split=image.get("split") or split,
            platform=platform_named(image.get("platform")),
            band=band_named(image.get("band")),
            bit_depth=image.get("bit_depth"),
            group=group,
            extra={key: value for key, value in image.items() if key not in _IMAGE_KEYS}
            | ({"licence": licence[image["license"]]} if image.get("license") in licence else {}),
        )

    return annotate


def _image_file(top: Path, file: Path, name: str, split: str | None) -> Path:
    places = [file.parent, file.parent.parent, top] if file.parent != top else [top]
    folders = ["", "images", *([split, f"images/{split}"] if split else []), file.stem.removeprefix("instances_")]
    for place in places:
        for folder in folders:
            if (place / folder / name).is_file():
                return below(place / folder, name)
    return below(top, name)
