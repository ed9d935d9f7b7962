"""Checks of masks, for learning and for measuring."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.errors import SettingsError
from training.data.samples import Sample


def refuse_without_masks(samples: Sequence[Sample], where: str) -> None:
    """Raise where no image has a mask.

    Raises:
        SettingsError: that is so.
    """
    if not any(sample.has_mask for sample in samples):
        names = ", ".join(dict.fromkeys(sample.dataset for sample in samples))
        raise SettingsError(
            expected="at least one image with a mask",
            got=f"none in {names or 'no image'}",
            where=where,
            action="Name masks in the index (docs/datasets.md), or add a data set that has them.",
        )


def refuse_empty_masks(samples: Sequence[Sample]) -> None:
    """Raise where an image has targets by its boxes and none by its mask; images whose mask is null are fine.

    Raises:
        SettingsError: that is so, or a mask cannot be read.
    """
    for sample in samples:
        if sample.has_mask and not sample.ignored_N.all() and not sample.mask_HW.any():
            raise SettingsError(
                expected=f"target pixels: image {sample.image_id} has {int((~sample.ignored_N).sum())} boxes",
                got="an empty mask",
                where=str(sample.mask_path or sample.image_id),
                action="Draw the targets, or write null for the mask of an image that has boxes only.",
            )
