"""Outputs of the networks: arrays that do not fit together are refused where they are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts.outputs import Classification, Detections, Segmentation


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def regions(num: int = 2, **changes: Any) -> Segmentation:
    fields: dict[str, Any] = {
        "boxes_xyxy_px": zeros(num, 4),
        "scores": zeros(num),
        "centroids_xy_px": zeros(num, 2),
        "areas_px": zeros(num),
        "mask_rles": ("x",) * num,
        "scrs": zeros(num),
    }
    return Segmentation(**fields | changes)


def test_outputs_count_their_targets() -> None:
    assert [len(Detections(zeros(3, 4), zeros(3))), len(regions(2)), len(Classification(("a", "b"), zeros(5, 2)))] == [3, 2, 5]
    assert [len(Detections.empty()), len(Segmentation.empty())] == [0, 0]


@pytest.mark.parametrize(
    ("boxes", "scores", "name"),
    [
        (zeros(2, 5), zeros(2), "boxes_xyxy_px"),
        (zeros(4), zeros(4), "boxes_xyxy_px"),
        (zeros(2, 4), zeros(3), "scores"),
        (zeros(2, 4), zeros(2, 1), "scores"),
    ],
)
def test_detections_that_do_not_fit_are_refused(boxes: Any, scores: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        Detections(boxes, scores)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boxes_xyxy_px", zeros(2, 3)),
        ("scores", zeros(3)),
        ("centroids_xy_px", zeros(2, 3)),
        ("centroids_xy_px", zeros(3, 2)),
        ("areas_px", zeros(3)),
        ("scrs", zeros(1)),
        ("mask_rles", ("x",)),
        ("mask_rles", ("x",) * 3),
    ],
)
def test_regions_that_do_not_fit_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        regions(**{name: value})


def test_as_many_scores_as_classes() -> None:
    with pytest.raises(ValueError, match="scores: expected"):
        Classification(("a", "b"), zeros(5, 3))
