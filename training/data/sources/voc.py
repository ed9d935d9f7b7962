"""Pascal VOC: an XML for each image in `Annotations`, images in `JPEGImages`, splits in `ImageSets/Main`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from training.data.sources.annotation import Annotation, BoxXYWH, Listed, RefusedAnnotation, folder_named, images_below

_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")
_SPLITS = ("train", "val", "test", "trainval")


def list_voc(root: Path) -> Iterator[Listed]:
    """Images by their XML files.

    Raises:
        SettingsError: a folder is not there.
    """
    annotations = folder_named(root, ("Annotations",), "XML files")
    images = folder_named(root, ("JPEGImages", "images"), "images")
    by_stem = {path.stem: path for path in images_below(images)}
    masks = next((root / name for name in ("SegmentationClass", "masks") if (root / name).is_dir()), None)
    mask_of = {path.stem: path for path in images_below(masks)} if masks else {}
    splits = _splits(root)
    for xml in sorted(annotations.glob("*.xml")):
        yield Listed(sample_id=xml.stem, annotate=_reader(xml, by_stem, mask_of, splits.get(xml.stem)))


def _splits(root: Path) -> dict[str, str]:
    """Split of each image; a list named `trainval` says less than `train` and `val`."""
    splits: dict[str, str] = {}
    for name in reversed(_SPLITS):
        path = root / "ImageSets" / "Main" / f"{name}.txt"
        if path.is_file():
            splits |= {line.split()[0]: name for line in path.read_text(encoding="utf-8").splitlines() if line.split()}
    return splits


def _reader(xml: Path, by_stem: dict[str, Path], mask_of: dict[str, Path], split: str | None) -> Callable[[], Annotation]:
    def annotate() -> Annotation:
        tree = _parsed(xml)
        boxes, labels = [], []
        for target in tree.iter("object"):
            boxes.append(_box(target, xml))
            name = (target.findtext("name") or "").strip() or "target"
            labels.append("ignore" if target.findtext("ignore") == "1" else name)
        stem = Path(tree.findtext("filename") or xml.stem).stem
        image = by_stem.get(xml.stem) or by_stem.get(stem)
        if image is None:
            raise RefusedAnnotation("image_missing", f"expected an image {xml.stem}, got none")
        return Annotation(
            sample_id=xml.stem,
            image=image,
            mask=mask_of.get(image.stem),
            boxes_xywh_px=tuple(boxes),
            labels=tuple(labels),
            split=split,
        )

    return annotate


def _parsed(xml: Path) -> ElementTree.Element:
    value = xml.read_bytes()
    if any(word in value for word in _FORBIDDEN):  # entities that grow without bound
        raise RefusedAnnotation("annotation_invalid", f"expected an XML without entities, got one that declares some ({xml.name})")
    try:
        return ElementTree.fromstring(value)  # noqa: S314 - no entities, see above
    except ElementTree.ParseError as error:
        raise RefusedAnnotation("annotation_invalid", f"expected XML, got {error} ({xml.name})") from error


def _box(target: ElementTree.Element, xml: Path) -> BoxXYWH:
    texts = [target.findtext(f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x_min, y_min, x_max, y_max = (float(text or "") for text in texts)
    except ValueError as error:
        raise RefusedAnnotation("annotation_invalid", f"expected four numbers in bndbox, got {texts} ({xml.name})") from error
    # VOC counts pixels from 1 and includes the last one.
    return x_min - 1, y_min - 1, x_max - x_min + 1, y_max - y_min + 1
