"""The one preprocessing: training, evaluation and the stream use these functions and `models.normalisation`'s, and no others.

Everything is linear in the counts of a frame, so 8 to 16 bit frames arrive in the networks with every count still
distinguishable and in order, and an 8-bit and a 14-bit version of one scene look alike to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Normalisation

if TYPE_CHECKING:
    from torch import Tensor

PREPROCESS_VERSION = "2"
CROP_CONTEXT = 1.5
CROP_MIN_SIDE_PX = 24.0


@overload
def normalise(pixels: NDArray[Any], normalisation: Normalisation) -> NDArray[np.float32]: ...
@overload
def normalise(pixels: Tensor, normalisation: Normalisation) -> Tensor: ...
def normalise(pixels: Any, normalisation: Normalisation) -> Any:
    """`(pixels - mean) / scale` as float32; numpy arrays and torch tensors, any shape."""
    as_float = pixels.astype(np.float32) if isinstance(pixels, np.ndarray) else pixels.float()
    # Subtract before scaling: 16-bit counts minus their mean lose nothing in float32.
    return (as_float - normalisation.mean) * (1.0 / normalisation.scale)


def padded_size(height_px: int, width_px: int, multiple: int) -> tuple[int, int]:
    """Smallest (height, width) that are multiples and hold the frame: the shape bucket it is batched in."""
    return -(-height_px // multiple) * multiple, -(-width_px // multiple) * multiple


def crop_square(
    pixels_HW: NDArray[Any],
    box_xyxy_px: NDArray[np.float32],
    side_px: int,
    context: float = CROP_CONTEXT,
    min_side_px: float = CROP_MIN_SIDE_PX,
) -> NDArray[np.float32]:
    """Cut a square with context around a box and resample it to a fixed side.

    The square is centred on the box and `max(longer side * context, min_side_px)` wide, so a target of a few pixels
    keeps its surroundings. Resampling is by a triangle filter that widens when shrinking (no aliasing); beyond the
    frame the border is repeated.

    Args:
        pixels_HW: counts or normalised pixels of the whole frame.
        box_xyxy_px: `(4,)`, pixel edges.
        side_px: side of the result.
        context: factor on the longer side of the box.
        min_side_px: smallest square, in pixels of the frame.

    Returns:
        `(side_px, side_px)` float32.
    """
    x_min, y_min, x_max, y_max = (float(value) for value in box_xyxy_px)
    square_px = max((x_max - x_min) * context, (y_max - y_min) * context, min_side_px)
    rows = _resampling((y_min + y_max) / 2, square_px, side_px, pixels_HW.shape[0])
    columns = _resampling((x_min + x_max) / 2, square_px, side_px, pixels_HW.shape[1])
    patch = pixels_HW[rows[0] : rows[1], columns[0] : columns[1]].astype(np.float32)
    return np.asarray(rows[2] @ patch @ columns[2].T, np.float32)


def _resampling(centre_px: float, length_px: float, num: int, limit_px: int) -> tuple[int, int, NDArray[np.float32]]:
    """First and last source pixel along one axis, and the `(num, last - first)` weights onto them."""
    step = length_px / num
    positions = np.clip(centre_px - length_px / 2 + (np.arange(num) + 0.5) * step - 0.5, 0, limit_px - 1)
    reach = max(step, 1.0)
    first = max(int(np.floor(positions[0] - reach)), 0)
    last = min(int(np.ceil(positions[-1] + reach)) + 1, limit_px)
    weights = np.maximum(1 - np.abs(np.arange(first, last)[None, :] - positions[:, None]) / reach, 0)
    return first, last, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
