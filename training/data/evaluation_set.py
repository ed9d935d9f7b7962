"""The images an evaluation runs on: a known data set by name, or a folder with an `index.jsonl` of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contracts.errors import SettingsError
from training.data.catalogue import CLASS_SETS, MASK_SETS, SYNTHETIC
from training.data.labelled_frame import sample_of_row
from training.data.mask_checks import refuse_empty_masks, refuse_without_masks
from training.data.parquet_set import is_parquet_set, iterate_rows
from training.data.samples import Role, Sample, read_own, read_samples

CLASSED_SETS = (*CLASS_SETS, SYNTHETIC)
"""Known sets whose boxes have classes."""


def evaluation_samples(name: str, role: Role = Role.TEST) -> list[Sample]:
    """Images with masks.

    Args:
        name: of a known set, or a folder: its index names images (`file`), masks (`mask`, null where nobody drew one) and
            boxes; where any has the split `test` only those count, else all.
        role: of a known set.

    Raises:
        SettingsError: neither, no image, boxes without any mask, or an empty mask where there are boxes.
    """
    if name in MASK_SETS:
        samples = read_samples((name,), role)
    else:
        every = read_own(name, MASK_SETS, "data set to evaluate on")
        samples = [sample for sample in every if sample.role is Role.TEST] or every
    if not samples:
        raise SettingsError(expected="at least one image", got="none", where=f"data set {name}", action="Check its index.jsonl.")
    if any(len(sample.boxes_xyxy_px) for sample in samples):
        refuse_without_masks(samples, f"data set {name}")
    refuse_empty_masks(samples)
    return samples


def class_samples(name: str, role: Role = Role.TEST) -> list[Sample]:
    """Images whose boxes have classes.

    Args:
        name: of a known set, or a folder with an index or with a data set in Parquet; where any image has the split `test` only those
            count, else all.
        role: of a known set.

    Raises:
        SettingsError: neither, or no image.
    """
    if name in CLASSED_SETS:
        samples = read_samples((name,), role)
    else:
        every = _of_parquet(Path(name)) if is_parquet_set(Path(name)) else read_own(name, CLASSED_SETS, "data set to evaluate on")
        samples = [sample for sample in every if sample.role is Role.TEST] or every
    if not samples:
        raise SettingsError(expected="at least one image", got="none", where=f"data set {name}", action="Check its index.jsonl.")
    return samples


def _of_parquet(folder: Path) -> list[Sample]:
    roles = {"test": Role.TEST, "unseen": Role.TEST, "val": Role.SELECT}
    return [sample_of_row(row, roles.get(row["split"] or "", Role.TRAIN)) for row in iterate_rows(folder)]


def splits_of(samples: Sequence[Sample]) -> str:
    """Roles of the images, such as `test`; of a folder without test images all are measured: `train and val`."""
    there = {sample.role for sample in samples}
    names = {Role.TRAIN: "train", Role.SELECT: "val", Role.TEST: "test"}
    return " and ".join(name for role, name in names.items() if role in there)
