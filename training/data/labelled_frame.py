"""One labelled frame as a row of a data set in Parquet, and as the sample that training and measuring read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pycocotools import mask as coco

from contracts.errors import RejectRecord, SettingsError
from contracts.frame import Band, Pixels, Platform
from contracts.image_files import decode_image
from training.data.samples import Role, Sample

BOX = pa.struct([("x_min_px", pa.float32()), ("y_min_px", pa.float32()), ("x_max_px", pa.float32()), ("y_max_px", pa.float32())])
SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("image_sha256", pa.string(), nullable=False),
        pa.field("content_type", pa.string(), nullable=False),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("bit_depth", pa.int32(), nullable=False),
        pa.field("nodata", pa.list_(pa.float64()), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("band", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("mask_rle", pa.string()),
        pa.field("boxes", pa.list_(BOX), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("boxes_drawn", pa.bool_(), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False),
        pa.field("extra", pa.string(), nullable=False),
    ]
)
"""Columns of a data set, one row a frame. `image`: bytes of the file as they came; `mask_rle`: COCO compressed RLE over the frame, null
where nobody drew a mask; `labels`: one a box; `thumbnail`: 32 x 32 bytes by which near duplicates are found; `extra`: JSON."""
PIXEL_FREE = [name for name in SCHEMA.names if name not in ("image", "thumbnail")]
"""Columns that are small."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledFrame:
    """A frame with its labels.

    Attributes:
        sample_id: name within the data set.
        dataset: name of the set; that of a known one has its conventions.
        source_file: where the image came from, below the imported folder.
        licence: as stated.
        image: bytes of the file as they came.
        image_sha256: of these.
        content_type: of these.
        width_px: of the decoded frame.
        height_px: likewise.
        bit_depth: significant bits.
        nodata: values that are no measurement.
        platform: of the camera.
        band: of the camera.
        group_id: sequence, scene or camera: frames of one group look alike, so folds keep them together.
        split: official one, such as `train`, `val`, `test`; None where there is none.
        mask_rle: COCO compressed RLE over the frame; None where nobody drew a mask.
        boxes_xyxy_px: `(n, 4)` float32, pixel edges.
        labels: n class names; `target` where only targets are known, `ignore` for regions nobody labelled.
        boxes_drawn: whether somebody drew boxes, be it none.
        thumbnail: 32 x 32 bytes, see `training.data.near_duplicates`.
        extra: what else the source says of this frame.
    """

    sample_id: str
    dataset: str
    source_file: str
    licence: str
    image: bytes
    image_sha256: str
    content_type: str
    width_px: int
    height_px: int
    bit_depth: int
    nodata: tuple[float, ...]
    platform: Platform
    band: Band
    group_id: str
    split: str | None
    mask_rle: str | None
    boxes_xyxy_px: NDArray[np.float32]
    labels: tuple[str, ...]
    boxes_drawn: bool
    thumbnail: bytes
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def row(self) -> dict[str, Any]:
        """Values by column of `SCHEMA`."""
        row = {name: getattr(self, name) for name in SCHEMA.names if name not in ("boxes", "extra")}
        names = [each.name for each in BOX]
        row["boxes"] = [dict(zip(names, box, strict=True)) for box in self.boxes_xyxy_px.tolist()]
        row |= {"nodata": list(self.nodata), "labels": list(self.labels), "platform": str(self.platform), "band": str(self.band)}
        return row | {"extra": json.dumps(dict(self.extra), sort_keys=True, default=str)}


def boxes_of_row(row: Mapping[str, Any]) -> NDArray[np.float32]:
    """Boxes of a row, `(n, 4)` float32, pixel edges."""
    boxes = [[box[each.name] for each in BOX] for box in row["boxes"]]
    return np.array(boxes, np.float32).reshape(-1, 4)


def sample_of_row(row: Mapping[str, Any], role: Role = Role.TRAIN) -> Sample:
    """The sample of a row of `SCHEMA`; its pixels are decoded on first use, by the reader of all image files."""
    rle, shape_HW = row["mask_rle"], (int(row["height_px"]), int(row["width_px"]))
    return Sample(
        dataset=row["dataset"],
        image_id=row["sample_id"],
        role=role,
        read_pixels=partial(_pixels, bytes(row["image"]), int(row["bit_depth"]), tuple(row["nodata"]), row["sample_id"]),
        mask_path=None,
        boxes_xyxy_px=boxes_of_row(row),
        labels=tuple(row["labels"]),
        platform=Platform(row["platform"]),
        band=Band(row["band"]),
        bit_depth=int(row["bit_depth"]),
        nodata=tuple(row["nodata"]),
        read_mask=None if rle is None else partial(decode_rle, rle, shape_HW),
    )


def _pixels(value: bytes, bit_depth: int, nodata: tuple[float, ...], name: str) -> Pixels:
    try:
        return decode_image(value, bit_depth, nodata=nodata).pixels_HW
    except RejectRecord as error:
        action = "Import the data set again: this row was changed after its import."
        raise SettingsError(expected=error.expected, got=error.got, where=f"image {name}", action=action) from error


def encode_rle(mask_HW: NDArray[np.uint8]) -> str:
    """COCO compressed RLE of a mask `(H, W)`, 0 or 1."""
    encoded = coco.encode(np.asfortranarray(mask_HW, np.uint8))
    return str(encoded["counts"].decode("ascii"))


def decode_rle(mask_rle: str, shape_HW: tuple[int, int]) -> NDArray[np.uint8]:
    """Mask `(H, W)`, 0 or 1, of a COCO compressed RLE."""
    return np.ascontiguousarray(coco.decode({"size": list(shape_HW), "counts": mask_rle.encode("ascii")}), np.uint8)
