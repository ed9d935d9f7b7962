"""Answer of a model actor for a block: one entry per frame, in the block's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.errors import RetryLater
from contracts.outputs import Classification, Detections, Segmentation
from contracts.result import BatchInfo, ModelRef

Output = TypeVar("Output", Detections, Segmentation, Classification)


@dataclass(frozen=True, slots=True)
class FramePoison:
    """This item alone makes the network fail, while the network is well.

    Attributes:
        detail: the error, for column `detail` of the rejected row.
    """

    detail: str


class ActorCrashed(RetryLater):
    """The process of a network died while a call was under way; the call may be made again."""


@dataclass(frozen=True, eq=False)  # no slots: Python 3.11 cannot make a frozen, slotted, generic instance by its alias
class Reply(Generic[Output]):
    """Outputs of one network for the frames of one block.

    Attributes:
        outputs: per frame, in order.
        model: the weights that made all of them (a block is never split over two models).
        batches: per frame, the batch its last part was computed in; None where nothing had to be computed.
        compute_ms: per frame, its share of the batches it took part in (batch time / batch size, summed over tiles or crops).
        wait_ms: per frame, the longest time one of its parts waited for its batch.
    """

    outputs: list[Output | FramePoison]
    model: ModelRef
    batches: list[BatchInfo | None]
    compute_ms: list[float]
    wait_ms: list[float]

    def __post_init__(self) -> None:
        """Refuse lists of different lengths: a frame would get another one's result."""
        lengths = {len(self.outputs), len(self.batches), len(self.compute_ms), len(self.wait_ms)}
        if len(lengths) != 1:
            raise ValueError(f"expected one entry per frame in every list, got lengths {sorted(lengths)}")


DetectorReply = Reply[Detections]
SegmenterReply = Reply[Segmentation]
ClassifierReply = Reply[Classification]
