"""Copy-paste: targets of other images, with blended boundaries and a contrast that occurs, where such targets may be.

Source: the survey of docs/losses.md, section 3.3.1 (Wang et al.: the boundary of a small target is a Gaussian blur, and
its grey values follow the contrasts that occur); MTU-Net pastes 1 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.label_conventions import PLAIN, mark_of
from training.data.samples import Sample

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]
Rows = tuple[float, float]
Places = Mapping[str, Rows]
"""By label: the first and last row of a crop at which an image has targets of it."""
_MARGIN_PX = 4
_MAX_PASTED_SIDE_PX = 40
_GAIN_RANGE = (0.5, 2.0)
_BESIDE_PX = 6
_ANYWHERE: Rows = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True, eq=False)
class TargetPatch:
    """A target cut out for pasting.

    Attributes:
        residual_HW: normalised pixels minus the level of the surroundings.
        mask_HW: target pixels, 0 or 1.
        label: its class, or `target` where nobody says.
        dataset: where it is from.
        mark: value of its pixels in a mask it is pasted into (`training.data.label_conventions`).
    """

    residual_HW: Floats
    mask_HW: Mask
    label: str = "target"
    dataset: str = ""
    mark: int = PLAIN

    @property
    def contrast(self) -> float:
        """Mean residual over the target."""
        return float(self.residual_HW[self.mask_HW > 0].mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteSettings:
    """Settings of pasting.

    Attributes:
        probability: share of crops that get any.
        bare_probability: the same for images of a set that has no targets to cut out (`same_set`): what is pasted are all that are
            there.
        max_targets: one to so many.
        blend_sigma_px: range of the Gaussian at the boundary.
        gain: range of a factor on the contrast, where it is not corrected.
        grey_correction: take the contrast of another target instead, one of the same sign and within a factor of two; with `same_set`
            of the set the target is from.
        same_set: paste only into images of the data set the target is from: others draw masks otherwise, tight or with the blur around
            a target, and what is a target here may be clutter there. Images of a set that has no targets to cut out get those of all:
            else a network that tells the sets apart learns that there is nothing to be found in that kind of imagery.
        scene_constraint: paste only into images that have a target of the same label, and at the height in the image where those
            are (6 px more or less): no ship in the sky. Not asked of sets that get the targets of all (`same_set`).
    """

    probability: float = 0.5
    bare_probability: float = 0.85
    max_targets: int = 3
    blend_sigma_px: tuple[float, float] = (0.4, 1.0)
    gain: tuple[float, float] = (0.6, 1.4)
    grey_correction: bool = False
    same_set: bool = False
    scene_constraint: bool = False


def places_of(sample: Sample, top_px: int = 0) -> dict[str, Rows]:
    """Rows where an image has targets of each label, in a crop that begins at row `top_px`."""
    rows: dict[str, list[float]] = {}
    for label, (_, y_min, _, y_max) in zip(sample.labels, sample.boxes_xyxy_px.tolist(), strict=True):
        rows.setdefault(label, []).append((y_min + y_max) / 2 - top_px)
    return {label: (min(middles), max(middles)) for label, middles in rows.items()}


def cut_targets(samples: Sequence[Sample]) -> list[TargetPatch]:
    """Cut out every small enough target with a margin that lies inside its image and holds no part of another target."""
    return [patch for sample in samples for patch in _cut(sample)]


def _cut(sample: Sample) -> list[TargetPatch]:
    height_px, width_px = sample.mask_HW.shape
    patches = []
    for label, (x_min, y_min, x_max, y_max) in zip(sample.labels, sample.boxes_xyxy_px.astype(int), strict=True):
        left, top, right, bottom = x_min - _MARGIN_PX, y_min - _MARGIN_PX, x_max + _MARGIN_PX, y_max + _MARGIN_PX
        inside = left >= 0 and top >= 0 and right <= width_px and bottom <= height_px
        if not inside or max(right - left, bottom - top) > _MAX_PASTED_SIDE_PX:
            continue
        mask = sample.mask_HW[top:bottom, left:right]
        pixels = sample.normalised((slice(top, bottom), slice(left, right)))
        near = cv2.dilate(mask, np.ones((5, 5), np.uint8))
        # A neighbour that the margin cuts off would be pasted with a hard edge.
        if not mask.any() or near.all() or _on_border(mask):
            continue
        residual = (pixels - np.median(pixels[near == 0])).astype(np.float32)
        mark = mark_of(int(np.count_nonzero(mask)), sample.dataset)
        patches.append(TargetPatch(residual, mask.copy(), label, sample.dataset, mark))
    return patches


def _on_border(mask_HW: Mask) -> bool:
    return bool(mask_HW[[0, -1], :].any() or mask_HW[:, [0, -1]].any())


class Paster:
    """Pastes targets of a collection, in place."""

    def __init__(self, patches: Sequence[TargetPatch], settings: PasteSettings) -> None:
        """Sort the targets by data set and label."""
        self.settings = settings
        self._patches = list(patches)
        self._contrasts = {
            dataset: np.array([patch.contrast for patch in patches if not dataset or patch.dataset == dataset])
            for dataset in {"", *(patch.dataset for patch in patches)}
        }
        self._of: dict[tuple[str, str], list[TargetPatch]] = {}
        for patch in patches:
            self._of.setdefault((patch.dataset, patch.label), []).append(patch)
        self._sets = {patch.dataset for patch in patches}

    def __call__(self, pixels_HW: Floats, mask_HW: Mask, places: Places, rng: np.random.Generator, dataset: str = "") -> None:
        """Paste none, or one to `max_targets`, into normalised pixels and their mask.

        Args:
            pixels_HW: changed.
            mask_HW: changed, the mark of each target; targets are not pasted over others.
            places: where targets of the image are (`places_of`); asked only under the scene constraint.
            rng: source of chance.
            dataset: where the pixels are from; asked only where targets stay in their set.
        """
        bare = self.settings.same_set and dataset not in self._sets
        allowed = self._patches if bare else self._allowed(places, dataset)
        if not allowed or rng.random() >= (self.settings.bare_probability if bare else self.settings.probability):
            return
        for _ in range(int(rng.integers(1, self.settings.max_targets + 1))):
            patch = allowed[int(rng.integers(len(allowed)))]
            rows = places[patch.label] if self.settings.scene_constraint and not bare else _ANYWHERE
            sigma_px = rng.uniform(*self.settings.blend_sigma_px)
            paste_target(pixels_HW, mask_HW, patch, rng, gain=self._gain(patch, rng), blend_sigma_px=sigma_px, rows=rows)

    def _allowed(self, places: Places, dataset: str) -> list[TargetPatch]:
        by_scene = self.settings.scene_constraint
        same_set = self.settings.same_set
        if not (same_set or by_scene):
            return self._patches
        fitting = [key for key in self._of if (not same_set or key[0] == dataset) and (not by_scene or key[1] in places)]
        return [patch for key in fitting for patch in self._of[key]]

    def _gain(self, patch: TargetPatch, rng: np.random.Generator) -> float:
        if not self.settings.grey_correction or patch.contrast == 0:
            return float(rng.uniform(*self.settings.gain))
        gains = self._contrasts[patch.dataset if self.settings.same_set else ""] / patch.contrast
        return float(rng.choice(gains[(gains >= _GAIN_RANGE[0]) & (gains <= _GAIN_RANGE[1])]))


def paste_target(
    pixels_HW: Floats,
    mask_HW: Mask,
    patch: TargetPatch,
    rng: np.random.Generator,
    *,
    gain: float = 1.0,
    blend_sigma_px: float = 0.8,
    rows: Rows = _ANYWHERE,
) -> None:
    """Put a target somewhere, in place, unless the place is taken or the image is too small.

    On the target: the local mean of the image plus `gain` times the residual; around it this fades into the image.

    Args:
        pixels_HW: normalised, changed.
        mask_HW: changed; gets the mark of the target.
        patch: the target.
        rng: source of chance.
        gain: on its contrast.
        blend_sigma_px: of the Gaussian at its boundary.
        rows: its middle lies between these, 6 px more or less, if the image goes that far.
    """
    height, width = patch.mask_HW.shape
    highest = math.ceil(max(rows[0] - _BESIDE_PX - height / 2, 0))
    lowest = math.floor(min(rows[1] + _BESIDE_PX - height / 2, pixels_HW.shape[0] - height))
    if highest > lowest or width > pixels_HW.shape[1]:
        return
    top = int(rng.integers(highest, lowest + 1))
    left = int(rng.integers(pixels_HW.shape[1] - width + 1))
    place = (slice(top, top + height), slice(left, left + width))
    if mask_HW[place].any():
        return
    alpha = blend(patch.mask_HW, blend_sigma_px)
    around = pixels_HW[place][alpha < _TRACE]
    level = np.float32(around.mean() if len(around) else pixels_HW[place].mean())
    pixels_HW[place] += alpha * (level + np.float32(gain) * patch.residual_HW - pixels_HW[place])
    mask_HW[place] |= patch.mask_HW * np.uint8(patch.mark)


_TRACE = 0.02


def blend(mask_HW: Mask, sigma_px: float) -> Floats:
    """Visible share of a pasted target, `(H, W)` in [0, 1]: 1 on it, a Gaussian's fall around it, 0 at the border."""
    wider = cv2.dilate(mask_HW, np.ones((3, 3), np.uint8)).astype(np.float32)
    alpha = np.asarray(cv2.GaussianBlur(wider, (0, 0), sigma_px), np.float32)
    alpha[[0, -1], :] = alpha[:, [0, -1]] = 0
    return np.maximum(alpha, mask_HW.astype(np.float32))
