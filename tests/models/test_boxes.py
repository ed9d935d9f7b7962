"""One place for overlaps, cuts and non-maximum suppression of boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.boxes import cut_boxes, first_of_overlapping, iou_matrix, shares_inside, strongest_boxes


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_overlaps_of_pairs_by_hand() -> None:
    small, large, apart = (0, 0, 2, 2), (0, 0, 4, 4), (9, 9, 10, 10)
    np.testing.assert_allclose(iou_matrix(boxes(small, apart), boxes(small, large)), np.array([[1, 0.25], [0, 0]]))
    np.testing.assert_allclose(shares_inside(boxes(small, large), boxes(large, small)), np.array([[1, 1], [1, 0.25]]))
    assert iou_matrix(boxes((1, 1, 1, 1)), boxes((1, 1, 1, 1))).tolist() == [[0]]
    assert iou_matrix(boxes(), boxes(small)).shape == (0, 1)


def test_cut_at_the_edges_of_a_frame() -> None:
    cut = cut_boxes(boxes((-3, 2, 5, 30), (50, 50, 60, 60)), (0, 0, 20, 10))
    assert cut.tolist() == [[0, 2, 5, 10], [20, 10, 20, 10]]
    assert cut_boxes(boxes(), (0, 0, 5, 5)).shape == (0, 4)


def test_the_strongest_of_boxes_that_overlap_stays() -> None:
    found = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 36, 36], [-4, 4, 6, 12], [90, 2, 99, 9], [2, 2, 4, 4]])
    scores = torch.tensor([0.6, 0.9, 0.5, 0.7, 0.99, 0.1])
    kept, of = strongest_boxes(found, scores, (40, 40), min_score=0.2, max_iou=0.3, max_num=9)
    assert kept.tolist() == [[1, 0, 11, 10], [0, 4, 6, 12], [30, 30, 36, 36]]
    assert of == pytest.approx([0.9, 0.7, 0.5])
    fewer, _ = strongest_boxes(found, scores, (40, 40), min_score=0.2, max_iou=0.3, max_num=1)
    assert fewer.tolist() == [[1, 0, 11, 10]]


@pytest.mark.parametrize("num", [0, 1, 300])
def test_suppression_equals_torchvisions(num: int) -> None:
    from torchvision.ops import nms

    torch.manual_seed(num)
    low_N2 = torch.rand(num, 2) * 60
    boxes_N4 = torch.cat([low_N2, low_N2 + 1 + torch.rand(num, 2) * 20], 1)
    theirs = nms(boxes_N4, torch.linspace(1, 0, num), 0.3).tolist()
    assert len(theirs) < num or num < 2, "nothing overlaps"
    assert first_of_overlapping(boxes_N4.numpy(), 0.3, num).tolist() == theirs
    assert first_of_overlapping(boxes_N4.numpy(), 0.3, 5).tolist() == theirs[:5]
