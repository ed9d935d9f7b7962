"""The router: every column of a row is of its own frame, and the settings reach the fusion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from actors.reply import SegmenterReply
from contracts.frame import Band, Frame, Platform
from contracts.outputs import Segmentation
from contracts.result import BatchInfo, DeadLetter, FrameResult, ModelRef, StageTimes
from models.transforms import PREPROCESS_VERSION
from tests.pipeline.inference.rule_networks import DIGEST, RuleNetworks
from tests.pipeline.inference.test_router import NOW, block, by_offset, frame, route

FIRST = {"detection": 10.0, "segmentation": 20.0, "classification": 40.0}


class OwnAnswers(RuleNetworks):
    """Every frame and task has numbers of its own; the segmenter marks the pixels (x 30 to 33, y 1 to 2) of frames with targets."""

    async def segment(self, block: Any) -> SegmenterReply:
        marks = await self._marks(block)
        return SegmenterReply(
            [region() if mark else Segmentation.empty() for mark in marks],
            ModelRef("segmentation", "rule", DIGEST),
            *self._rest("segmentation", len(marks)),
        )

    def _rest(self, task: str, num: int) -> tuple[list[BatchInfo | None], list[float], list[float]]:
        first = FIRST[task]
        return (
            [BatchInfo(task, int(first) + i, "full") for i in range(num)],
            [first + i for i in range(num)],
            [first + 100 + i for i in range(num)],
        )


def region() -> Segmentation:
    mask_HW = np.zeros((8, 64), np.uint8, order="F")
    mask_HW[1:3, 30:34] = 1
    rle = coco_mask.encode(mask_HW)["counts"].decode()
    boxes, score, centroid, area = (np.array(values, np.float32) for values in ([[30, 1, 34, 3]], [0.5], [[32, 2]], [8]))
    return Segmentation(boxes, score, centroid, area, (rle,), np.array([7], np.float32))


def named(offset: int, mark: int) -> Frame:
    one = frame(offset, mark)
    return replace(
        one,
        meta=one.meta.model_copy(
            update={"frame_number": 70 + offset, "captured_at": NOW - timedelta(seconds=9), "platform": Platform.AIR, "band": Band.MWIR}
        ),
    )


def test_every_column_is_of_its_own_frame() -> None:
    routed = route(block([named(0, 0), named(1, 1)], stop=2), OwnAnswers())
    row = by_offset(routed.outcomes)[1]
    assert isinstance(row, FrameResult)
    assert row.batch == (BatchInfo("detection", 11, "full"), BatchInfo("segmentation", 21, "full"), BatchInfo("classification", 41, "full"))
    assert replace(row.stage_ms, fuse=0) == StageTimes(0.25, 0.5, 121 + 141, 11, 21, 41, 0)
    assert row.stage_ms.fuse > 0
    assert (row.frame_number, row.captured_at, row.platform, row.band, row.bit_depth) == (
        71,
        NOW - timedelta(seconds=9),
        Platform.AIR,
        Band.MWIR,
        8,
    )
    assert row.preprocess_version == PREPROCESS_VERSION
    assert row.finished_at > NOW
    assert [found.found_by for found in row.detections] == [("detector",), ("segmenter",)]


def test_the_settings_decide_what_is_joined_kept_and_named() -> None:
    table = block([named(0, 2)], stop=1)

    def outcome(**settings: float) -> FrameResult:
        (row,) = route(table, OwnAnswers(), **settings).outcomes
        assert isinstance(row, FrameResult)
        return row

    assert len(outcome().detections) == 3
    assert len(outcome(match_distance_px=40).detections) == 2
    assert len(outcome(max_detections=1).detections) == 1
    assert {found.label for found in outcome(label_min_score=0.9).detections} == {"target"}


def test_a_poisoned_frame_keeps_its_metadata() -> None:
    (row,) = route(block([named(0, 255)], stop=1), RuleNetworks()).outcomes
    assert isinstance(row, DeadLetter)
    assert (row.frame_id, row.frame_number, row.platform, row.band, row.headers) == ("f0", 70, Platform.AIR, Band.MWIR, {"note": "x"})
