"""A picture of what augmentation does: `irstream models augmentation docs/img/augmentation.png`.

Frames of our own synthetic source, whose licence allows showing them; one row for each kind, truth outlined green.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from evaluation.drawing import TRUTH, WORDS_PX, Picture, coloured, draw_outlines, draw_words, enlarged, in_rows, write_small_png
from training.augmentation.paste import Paster, PasteSettings, cut_targets
from training.augmentation.plan import Augmentation, make_crop
from training.data.catalogue import SYNTHETIC
from training.data.samples import Role, Sample, read_samples

_SIDE_PX, _TILE_PX, _COLUMNS, _SEED = 128, 192, 6, 7
_EDGE_PX = 12
_UNKNOWN = (220, 60, 60)
_NOTHING = Augmentation(crop_px=_SIDE_PX, target_probability=1.0, symmetries=False, jitter=False, paste=PasteSettings(probability=0.0))
_PASTE = PasteSettings(probability=1.0, max_targets=4)
KINDS: Mapping[str, Augmentation] = MappingProxyType(
    {
        "crops around targets": _NOTHING,
        "flips and transposition": replace(_NOTHING, symmetries=True),
        "rotation and scale": replace(_NOTHING, rotation_deg=30, scale=(0.7, 1.5), warp_probability=1.0),
        "blur": replace(_NOTHING, blur_sigma_px=(1.0, 2.0), blur_probability=1.0),
        "noise": replace(_NOTHING, noise_sigma=(0.3, 0.5), noise_probability=1.0),
        "gain, offset, a little noise": replace(_NOTHING, jitter=True),
        "pasted targets": replace(_NOTHING, paste=_PASTE),
        "pasted, grey values corrected": replace(_NOTHING, paste=replace(_PASTE, grey_correction=True)),
        "pasted where they may be": replace(_NOTHING, paste=replace(_PASTE, grey_correction=True, scene_constraint=True)),
    }
)


def gallery(samples: Sequence[Sample]) -> Picture:
    """Rows of crops `(rows * (heading + tile), columns * tile, 3)`; each column is one frame, each row one kind, all from one seed."""
    chosen = [sample for sample in samples if len(sample.boxes_xyxy_px) and _all_inside(sample)]
    chosen = chosen[:: max(1, len(chosen) // _COLUMNS)][:_COLUMNS]
    patches = cut_targets(chosen)
    rows = []
    for name, plan in KINDS.items():
        paster = Paster(patches, plan.paste)
        tiles = [_tile(sample, plan, paster, column) for column, sample in enumerate(chosen)]
        rows += [draw_words(np.zeros((WORDS_PX, _TILE_PX * len(tiles), 3), np.uint8), name), in_rows(tiles, len(tiles))]
    return np.concatenate(rows, 0)


def _all_inside(sample: Sample) -> bool:
    """True when no target is at the edge, where half of it would be shown."""
    height_px, width_px = sample.pixels_HW.shape
    far_px = np.array([width_px, height_px]) - _EDGE_PX
    return bool((sample.boxes_xyxy_px[:, :2] >= _EDGE_PX).all() and (sample.boxes_xyxy_px[:, 2:] <= far_px).all())


def _tile(sample: Sample, plan: Augmentation, paster: Paster, column: int) -> Picture:
    pixels_HW, mask_HW, unknown_HW = make_crop(sample, plan, paster, np.random.default_rng(_SEED + column))
    grey = ((pixels_HW + 2) / 6 * 255).clip(0, 255).astype(np.uint8)
    tile = coloured(enlarged(grey, _TILE_PX))
    draw_outlines(tile, enlarged(mask_HW, _TILE_PX), TRUTH)
    draw_outlines(tile, enlarged(unknown_HW, _TILE_PX), _UNKNOWN)
    return tile


def write_gallery(file: Path) -> None:
    """Draw it on frames of the synthetic source and write it.

    Raises:
        SettingsError: the synthetic data set is not there.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_small_png(gallery(read_samples((SYNTHETIC,), Role.TEST)), file)
