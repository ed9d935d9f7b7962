"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from models.losses import focal_loss, giou_loss, segmentation_loss, soft_iou_loss


def test_soft_iou_of_half_probabilities() -> None:
    # Four pixels at 0.5, one target: I = 0.5, P + Y = 2 + 1; 1 - (0.5 + 1) / (3 - 0.5 + 1).
    targets = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert soft_iou_loss(torch.zeros(1, 1, 2, 2), targets).item() == pytest.approx(1 - 1.5 / 3.5)


def test_soft_iou_weighs_samples_alike_whatever_their_targets_size() -> None:
    logits = torch.full((2, 1, 10, 10), -20.0)
    targets = torch.zeros(2, 1, 10, 10)
    targets[0, 0, 0, 0] = 1
    targets[1] = 1
    logits[1] = 20
    # The missed single pixel costs 1 - 1/2, the hit hundred cost nothing: mean 0.25; over the batch it would be about 0.01.
    assert soft_iou_loss(logits, targets).item() == pytest.approx(0.25, abs=1e-3)


def test_empty_crops_have_a_finite_loss_with_a_gradient() -> None:
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    loss = soft_iou_loss(logits, torch.zeros(1, 1, 4, 4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(1 - 1 / 9)
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_segmentation_loss_adds_weighted_cross_entropy() -> None:
    logits, targets = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert segmentation_loss(logits, targets, bce_weight=3).item() == pytest.approx(1 - 3 / 5 + 3 * math.log(2))


def test_focal_loss_by_hand_and_with_weights() -> None:
    logits, targets = torch.tensor([0.0, 0.0, 5.0]), torch.tensor([1.0, 0.0, 0.0])
    weights = torch.tensor([1.0, 1.0, 0.0])
    expected = (0.25 + 0.75) * 0.5**2 * math.log(2)
    assert focal_loss(logits, targets, weights).item() == pytest.approx(expected, rel=1e-6)


def test_focal_loss_equals_torchvisions() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(50) * 3, (torch.rand(50) > 0.7).float()
    ours = focal_loss(logits, targets, torch.ones(50))
    torch.testing.assert_close(ours, sigmoid_focal_loss(logits, targets, reduction="sum"))


def test_giou_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 4, 4]])
    others = torch.tensor([[0.0, 0, 2, 2], [2, 0, 3, 1], [2, 0, 6, 4]])
    # Equal: 0. Apart: IoU 0, hull 3 of which 1 is empty: 1 + 1/3. Half over: IoU 8/24, hull = union: 2/3.
    torch.testing.assert_close(giou_loss(boxes, others), torch.tensor([0.0, 4 / 3, 2 / 3]))


def test_giou_equals_torchvisions() -> None:
    torch.manual_seed(1)
    low = torch.rand(40, 4)[:, :2] * 10
    boxes = torch.cat([low, low + 0.5 + torch.rand(40, 2) * 5], 1)
    others = boxes.roll(1, 0)
    torch.testing.assert_close(giou_loss(boxes, others), generalized_box_iou_loss(boxes, others), atol=1e-5, rtol=1e-5)
