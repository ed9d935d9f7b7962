"""Multiply-adds from shapes alone: a network runs on torch's meta device, and of what it calls only shapes are worked out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_aten = torch.ops.aten
# Torch works out the shapes of these on the meta device in Python, through hundreds of calls each.
_ELEMENTWISE = {_aten.add, _aten.sub, _aten.mul, _aten.div, _aten.relu, _aten.leaky_relu, _aten.sigmoid, _aten.clamp}
_IN_PLACE = {_aten.relu_, _aten.leaky_relu_, _aten.add_, _aten.mul_}


class FlopsOfShapes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types there
    """Counts what torch's own flop counter counts (convolutions and matrix products), in a fifth of its time on the meta device.

    Needs `torch.no_grad()` around it: under `inference_mode` operations arrive here before they are taken apart.

    Attributes:
        total: floating point operations so far, two for a multiply-add.
    """

    total: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, or only say the shape of its answer, and count it."""
        named = dict(kwargs or {})
        packet = func.overloadpacket
        answer = _shape_alone(packet, args) if not named else None
        if answer is None:
            answer = func(*args, **named)
        if packet in flop_registry:
            self.total += flop_registry[packet](*args, **named, out_val=answer)
        return answer


def _shape_alone(packet: Any, args: tuple[Any, ...]) -> Tensor | tuple[Tensor, ...] | None:
    """An empty answer of the right shape and type; None for what torch shall work out."""
    tensors = [each for each in args if isinstance(each, Tensor)]
    first = args[0] if args else None
    if not tensors or tensors[0] is not first or any(each.device.type != "meta" or each.dtype != first.dtype for each in tensors):
        return None
    if packet in _IN_PLACE:
        return first
    if packet in _ELEMENTWISE and first.is_floating_point():
        return first.new_empty(torch.broadcast_shapes(*(each.shape for each in tensors)))  # type: ignore[no-untyped-call]
    if packet is _aten.upsample_bilinear2d:
        return first.new_empty((*first.shape[:2], *args[1]))
    if packet is _aten.native_batch_norm:
        return first.new_empty(first.shape), first.new_empty(0), first.new_empty(0)
    return None
