"""Deep supervision: every head against the truth at its own size."""

from __future__ import annotations

import pytest
import torch

from models.losses import bce_loss, soft_iou_loss
from training.tasks.deep_supervision import deep_supervision

TRUTH = torch.zeros(1, 1, 8, 8)
TRUTH[..., 2, 5] = 1


def test_one_head_is_the_loss_itself() -> None:
    logits = torch.randn(1, 1, 8, 8)
    assert deep_supervision(logits, TRUTH, soft_iou_loss) == soft_iou_loss(logits, TRUTH)


def test_heads_are_averaged() -> None:
    first, second = torch.randn(2, 1, 1, 8, 8)
    expected = (bce_loss(first, TRUTH) + bce_loss(second, TRUTH)) / 2
    assert deep_supervision((first, second), TRUTH, bce_loss).item() == pytest.approx(expected.item())


def test_a_small_head_keeps_targets_of_one_pixel() -> None:
    quarter = torch.full((1, 1, 2, 2), -40.0)
    quarter[..., 0, 1] = 40
    assert deep_supervision(quarter, TRUTH, soft_iou_loss).item() == pytest.approx(0, abs=1e-6)


def test_a_small_head_knows_a_place_only_where_all_of_it_is_known() -> None:
    known = torch.ones(1, 1, 8, 8)
    known[..., 7, 0] = 0
    quarter = torch.zeros(1, 1, 2, 2, requires_grad=True)
    deep_supervision(quarter, TRUTH, bce_loss, known).backward()  # type: ignore[no-untyped-call]
    assert quarter.grad is not None
    assert (quarter.grad[0, 0] == 0).tolist() == [[False, False], [True, False]]


def test_half_precision_logits_have_a_full_precision_loss() -> None:
    logits = torch.randn(1, 1, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert deep_supervision(logits, TRUTH, soft_iou_loss).dtype == torch.float32
