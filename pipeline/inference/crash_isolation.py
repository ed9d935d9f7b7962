"""One network's calls, and what becomes of the blocks in flight when its process dies under them.

A crash costs the calls it hit, not the generation: rows are made here, so computing a block again harms nobody. But the
frame that killed the process would kill the next one too. So the blocks that were in flight are suspects: they are
computed again one by one while nothing else reaches the network, a block that kills it again frame by frame, and a frame
that kills it twice on its own is poison. Frame by frame rather than by halves: one frame more costs milliseconds, one crash
more costs the restart of a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Generic

import structlog

from actors.reply import ActorCrashed, FramePoison, Output, Reply
from contracts.block import FrameBlock, pack_block
from contracts.errors import GenerationFailed
from contracts.result import ModelRef

_ALONE_AT_MOST = 2
_UNKNOWN = ModelRef("unknown", "unknown", "")
_log = structlog.get_logger(__name__)


class Isolation(Generic[Output]):
    """Wraps the calls of one network. All methods belong to one event loop."""

    def __init__(self, name: str, call: Callable[..., Awaitable[Reply[Output]]]) -> None:
        """Nothing is suspected yet.

        Args:
            name: of the network's role, for logs and details.
            call: asks the network; gets a block (or its ObjectRef) and, for the classifier, the boxes of each of its
                frames; raises `ActorCrashed` when the process died.
        """
        self._name = name
        self._call: Callable[..., Awaitable[Reply[Output]]] = call
        self._suspects = 0
        self._one_at_a_time = asyncio.Lock()
        self._trusted = asyncio.Event()
        self._trusted.set()
        self._model = _UNKNOWN

    async def __call__(self, block: Any, view: FrameBlock, *boxes: Sequence[Any]) -> Reply[Output]:
        """Ask the network, whatever it takes.

        Args:
            block: what the network is given.
            view: the same block, for the driver's eyes.
            boxes: for the classifier, per frame.

        Raises:
            Exception: whatever the network raised, other than a crash.
        """
        await self._trusted.wait()
        try:
            return await self._ask(block, *boxes)
        except ActorCrashed as error:
            _log.warning("model_crashed", network=self._name, block=str(view.span), frames=len(view.frames), error=str(error))
        self._suspects += 1
        self._trusted.clear()
        try:
            async with self._one_at_a_time:
                return await self._alone(block, view, *boxes)
        finally:
            self._suspects -= 1
            if not self._suspects:
                self._trusted.set()

    async def _alone(self, block: Any, view: FrameBlock, *boxes: Sequence[Any]) -> Reply[Output]:
        try:
            return await self._ask(block, *boxes)
        except ActorCrashed:
            _log.warning("block_kills_the_model", network=self._name, block=str(view.span), frames=len(view.frames))
        return _joined([await self._frame_alone(view, index, *boxes) for index in range(len(view.frames))], self._model)

    async def _frame_alone(self, view: FrameBlock, index: int, *boxes: Sequence[Any]) -> Reply[Output] | FramePoison:
        single = pack_block(replace(view, frames=(view.frames[index],), rejections=(), gap_stop=None))
        crash: ActorCrashed | None = None
        for _ in range(_ALONE_AT_MOST):
            try:
                return await self._ask(single, *([each[index]] for each in boxes))
            except ActorCrashed as error:
                crash = error
        _log.warning("frame_kills_the_model", network=self._name, frame=str(view.frames[index].position))
        return FramePoison(f"the process of the {self._name} died {_ALONE_AT_MOST} times on this frame alone ({crash and crash.got})")

    async def _ask(self, block: Any, *boxes: Sequence[Any]) -> Reply[Output]:
        reply = await self._call(block, *boxes)
        self._model = reply.model
        return reply


def _joined(parts: Sequence[Reply[Output] | FramePoison], known: ModelRef) -> Reply[Output]:
    """One reply for a block from those for its frames; a poisonous frame has no batch and no times.

    Raises:
        GenerationFailed: the network was exchanged in between, and a block names one model.
    """
    models = {part.model for part in parts if not isinstance(part, FramePoison)} or {known}
    if len(models) > 1:
        raise GenerationFailed(
            expected="one network for a whole block",
            got=f"{len(models)}: it was exchanged meanwhile",
            where="isolation of a block that killed a network",
            action="Its frames are computed again.",
        )
    return Reply(
        [part if isinstance(part, FramePoison) else part.outputs[0] for part in parts],
        models.pop(),
        [None if isinstance(part, FramePoison) else part.batches[0] for part in parts],
        [0.0 if isinstance(part, FramePoison) else part.compute_ms[0] for part in parts],
        [0.0 if isinstance(part, FramePoison) else part.wait_ms[0] for part in parts],
    )
