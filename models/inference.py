"""Ready for inference: batch norms folded away, channels last, and the number format that suits this device.

In half precision both ends of a network stay exact.

On request also compiled (`torch.compile`) and averaged over flips.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from models.folding import fold_batch_norms, keep_ends_exact
from models.interface import MetadataBatch, Task
from models.zoo import AnyModel

_FLIPS = ((2,), (3,), (2, 3))


@dataclass(frozen=True, slots=True, eq=False)
class InferenceModel:
    """A prepared network on its device; only `forward` differs from the network it was made from, by rounding.

    Attributes:
        model: folded copy; its `postprocess` is the original's.
        device: where it computes.
        dtype: float32, or what autocast uses.
        compute: `model`, or a compiled one.
        flips: give the mean of the logits of the four flips of a frame; for segmenters only.
    """

    model: AnyModel
    device: torch.device
    dtype: torch.dtype
    compute: Callable[[Tensor, MetadataBatch], Tensor | tuple[Tensor, ...]]
    flips: bool = False

    @property
    def passes(self) -> int:
        """Passes of the network for one frame."""
        return 1 + len(_FLIPS) if self.flips else 1

    def forward(self, pixels_B1HW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """Normalised pixels `(B, 1, H, W)` float32 (any device) to raw outputs on the model's device, without gradients."""
        autocast = self.dtype is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype if autocast else None, enabled=autocast):
            pixels, known = pixels_B1HW.to(self.device, non_blocking=True, memory_format=torch.channels_last), metadata.to(self.device)
            raw = self.compute(pixels, known)
            if not self.flips:
                return raw
            turned = [self.compute(pixels.flip(dims), known).flip(dims) for dims in _FLIPS]  # type: ignore[union-attr]  # one map of logits
            return torch.stack([raw, *turned]).mean(0)  # type: ignore[list-item]


def prepare(
    model: AnyModel,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    compiled: bool = False,
    flips: bool = False,
) -> InferenceModel:
    """Make a folded copy of a network on a device.

    Args:
        model: left as it is.
        device: where to compute.
        dtype: number format: float32 or bfloat16; see `models.devices.suitable_dtype`.
        compiled: let `torch.compile` write code for it: takes most of a minute at the first batches (of one frame, and of more),
            any other size then is served by the same code. Needs a C++ compiler where the device is a CPU.
        flips: average over the four flips of each frame, at four times the cost; for segmenters only.

    Raises:
        TypeError: flips of a network that is no segmenter.
    """
    if flips and model.task is not Task.SEGMENTATION:
        raise TypeError(f"expected a segmenter to average over flips, got a network for {model.task}")
    place = torch.device(device)
    folded = fold_batch_norms(deepcopy(model).eval()).to(place).requires_grad_(False)
    folded.to(memory_format=torch.channels_last)
    if dtype is not torch.float32:
        keep_ends_exact(folded)
    compute = torch.compile(folded, dynamic=True) if compiled else folded
    return InferenceModel(folded, place, dtype, compute, flips)
