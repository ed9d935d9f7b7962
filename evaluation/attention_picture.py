"""Attention of a classifier as a picture: a row a crop, with the feature maps over it and the gates of the channels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.drawing import WORDS_PX, Picture, coloured, draw_words, enlarged, in_rows, stretched

TILE_PX = 200
_SHARE = 0.55
_BAR = (120, 190, 255)


def attention_row(
    crop_HW: NDArray[np.float32], words: str, stages: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float32] | None]]
) -> Picture:
    """A crop, then each stage: its map over the crop, red where it is strong; of attention also its gates.

    Args:
        crop_HW: as the network sees it.
        words: above the crop.
        stages: name, map `(h, w)`, and gates `(C,)` or None of each.
    """
    plain = enlarged(coloured(stretched(crop_HW)), TILE_PX)
    tiles = [draw_words(plain.copy(), words)]
    for name, map_hw, gates_C in stages:
        tiles.append(draw_words(_overlaid(plain, map_hw), name))
        if gates_C is not None:
            tiles.append(_gates(gates_C))
    return in_rows(tiles, len(tiles))


def _overlaid(plain: Picture, map_hw: NDArray[np.float32]) -> Picture:
    low, high = float(map_hw.min()), float(map_hw.max())
    scaled = (255 * (map_hw - low) / (high - low)) if high > low else np.zeros_like(map_hw)
    smooth = cv2.resize(scaled.astype(np.float32), (TILE_PX, TILE_PX), interpolation=cv2.INTER_LINEAR)
    heat = cv2.applyColorMap(smooth.clip(0, 255).astype(np.uint8), cv2.COLORMAP_JET)[:, :, ::-1]
    return np.asarray(plain * (1 - _SHARE) + heat * _SHARE, np.uint8)


def _gates(gates_C: NDArray[np.float32]) -> Picture:
    """Bars of all gates, rising; the full height is 1."""
    tile: Picture = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    height, num = TILE_PX - WORDS_PX, len(gates_C)
    for index, gate in enumerate(np.sort(gates_C).tolist()):
        left, right = index * TILE_PX // num, max((index + 1) * TILE_PX // num, index * TILE_PX // num + 1)
        tile[TILE_PX - round(gate * height) :, left:right] = _BAR
    return draw_words(tile, f"{num} gates, {gates_C.min():.2f} to {gates_C.max():.2f}")
