"""Networks in processes of their own that a frame can end; those import this module, which therefore imports little."""

from __future__ import annotations

import ctypes
from typing import Any

from contracts.block import unpack_block
from tests.pipeline.inference.rule_networks import RuleNetworks

KILLER = 200


class Replica:
    """One rule network in a process of its own; the frame marked `KILLER` ends it as a fault in native code would."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._call: Any = getattr(
            RuleNetworks(delay_s=0.05), {"detector": "detect", "segmenter": "segment", "classifier": "classify"}[role]
        )

    async def run(self, block: Any, *boxes: Any) -> Any:
        if self._role == "segmenter" and any(int(frame.pixels_HW[0, 0]) == KILLER for frame in unpack_block(block).frames):
            ctypes.string_at(0)  # reads address 0
        return await self._call(block, *boxes)


class Door:
    def __init__(self, *handles: Any) -> None:
        self._handles = handles
