"""torchvision's operators for regions: deformable convolution, RoI align, non-maximum suppression.

Importing torchvision takes as long as torch and brings torch's compiler along (docs/adr/0017), so it happens here alone, when a network
that needs them is built (`require_operators`), and in no process that runs another one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula


@cache
def require_operators() -> Any:
    """Import torchvision's operators, and tell torch's flop counter what a deformable convolution costs: as much as a plain one."""
    import torchvision.ops as operators

    @register_flop_formula(torch.ops.torchvision.deform_conv2d)
    def _flops(x_shape: Any, weight_shape: Any, offset_shape: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        places = offset_shape[0] * offset_shape[2] * offset_shape[3]
        return 2 * int(places) * int(weight_shape[0] * weight_shape[1] * weight_shape[2] * weight_shape[3])

    return operators


def _exact(tensor: Tensor) -> AbstractContextManager[Any]:
    """No half precision: the operators know none on CPUs. The meta device knows no autocast at all."""
    return nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)


class DeformableConv(nn.Module):
    """3x3 convolution without bias whose taps lie where they are told to.

    Source: Dai et al., "Deformable Convolutional Networks", ICCV 2017, arXiv:1703.06211, eq. 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build with weights of a small normal distribution."""
        super().__init__()
        require_operators()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x_BCHW: Tensor, offsets_B18HW: Tensor) -> Tensor:
        """Convolve.

        Args:
            x_BCHW: map.
            offsets_B18HW: y and x of each of the nine taps, row by row, in cells, from where a plain convolution has it.

        Returns:
            `(B, outputs, H, W)` float32.
        """
        with _exact(x_BCHW):
            answer: Tensor = require_operators().deform_conv2d(x_BCHW.float(), offsets_B18HW.float(), self.weight, padding=1)
        return answer


def crops_of(map_BCHW: Tensor, boxes_BK4: Tensor, stride: int, side: int = 7) -> Tensor:
    """Resample what lies in boxes to squares (RoI align: He et al. 2017, arXiv:1703.06870), two by two samples a cell.

    Args:
        map_BCHW: map.
        boxes_BK4: x_min, y_min, x_max, y_max in pixels, edges.
        stride: pixels a cell of the map.
        side: cells of the result.

    Returns:
        `(B, K, C, side, side)` float32.
    """
    num, count = boxes_BK4.shape[:2]
    item_BK = torch.arange(num, device=boxes_BK4.device, dtype=torch.float32)[:, None].expand(num, count)
    boxes_R5 = torch.cat([item_BK[..., None], boxes_BK4.float()], 2).reshape(-1, 5)
    with _exact(map_BCHW):
        crops = require_operators().roi_align(map_BCHW.float(), boxes_R5, side, 1 / stride, 2, True)
    return crops.reshape(num, count, map_BCHW.shape[1], side, side)  # type: ignore[no-any-return]  # torchvision is Any


def first_of_overlapping(boxes_N4: Tensor, scores_N: Tensor, groups_N: Tensor, max_iou: float) -> Tensor:
    """True for the boxes that overlap no stronger one of their group by more than `max_iou`, `(N,)`.

    All of them on the meta device, where nothing has a value.
    """
    kept_N = torch.ones_like(scores_N, dtype=torch.bool)
    if not boxes_N4.is_meta:
        kept_N = torch.zeros_like(kept_N)
        kept_N[require_operators().batched_nms(boxes_N4.float(), scores_N.float(), groups_N, max_iou)] = True
    return kept_N
