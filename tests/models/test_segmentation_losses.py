"""Losses of segmenters: values worked out by hand, gradients, and what the published code got wrong."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from contracts.errors import SettingsError
from models.losses import (
    SEGMENTATION_LOSSES,
    bce_loss,
    dice_loss,
    focal_iou_loss,
    focal_plus_iou_loss,
    loss_named,
    mean_focal_loss,
    sd_loss,
    sls_loss,
    soft_iou_loss,
    threshold_focal_loss,
)
from models.losses.overlap import Masses

LN2, LN3 = math.log(2), math.log(3)


def image(*rows: list[float]) -> Tensor:
    """One sample of one channel."""
    return torch.tensor([[list(rows)]])


def sure(mask: Tensor) -> Tensor:
    """Logits of an answer without doubt."""
    return mask * 80 - 40


def square(side_px: int, top: int, left: int, of_px: int = 64) -> Tensor:
    mask = torch.zeros(1, 1, of_px, of_px)
    mask[..., top : top + side_px, left : left + side_px] = 1
    return mask


def test_soft_iou_over_the_batch() -> None:
    targets = torch.zeros(2, 1, 10, 10)
    targets[0, 0, 0, 0] = 1
    targets[1] = 1
    answer = sure(targets)
    answer[0] = -40
    # 100 of 101 pixels: 1 - (100 + 1) / (101 + 1).
    assert soft_iou_loss(answer, targets, over="batch").item() == pytest.approx(1 / 102, rel=1e-4)
    assert soft_iou_loss(answer, targets, over="sample").item() == pytest.approx(1 / 4)


def test_dice_by_hand_and_of_a_perfect_mask() -> None:
    assert dice_loss(torch.zeros(1, 1, 2, 2), image([1.0, 0.0], [0.0, 0.0])).item() == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))
    perfect = square(3, 5, 5)
    assert dice_loss(sure(perfect), perfect).item() == pytest.approx(0, abs=1e-6)
    published = 1 - (2 * 9 + 1) / (9 + 9 + 9 + 1)
    assert published == pytest.approx(0.32, abs=0.005), "docs/losses.md"


def test_cross_entropy_counts_unknown_pixels_as_free() -> None:
    zeros, ones = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert bce_loss(zeros, ones).item() == pytest.approx(LN2)
    assert bce_loss(zeros, ones, image([1.0, 1.0], [1.0, 0.0])).item() == pytest.approx(0.75 * LN2)


def test_focal_and_focal_plus_iou_by_hand() -> None:
    zeros, targets = torch.zeros(1, 1, 1, 2), image([1.0, 0.0])
    focal = (0.25 + 0.75) * 0.25 * LN2 / 2
    assert mean_focal_loss(zeros, targets).item() == pytest.approx(focal)
    # I = 0.5, P = 1, Y = 1.
    assert focal_plus_iou_loss(zeros, targets).item() == pytest.approx(focal + 1 - 1.5 / 2.5)


def test_focal_weighs_a_target_a_quarter_and_a_background_three_quarters() -> None:
    # p_t is 3/4 on the target, 1/4 twice and 3/4 once on the background.
    logits, targets = image([LN3, LN3, LN3, -LN3]), image([1.0, 0.0, 0.0, 0.0])
    easy, hard = (1 / 4) ** 2 * math.log(4 / 3), (3 / 4) ** 2 * math.log(4)
    assert mean_focal_loss(logits, targets).item() == pytest.approx((0.25 * easy + 0.75 * (2 * hard + easy)) / 4)


def test_threshold_focal_by_hand() -> None:
    # p = 3/4 twice; the truth is 1 and 0, so p_t is 3/4 (easy) and 1/4 (hard), its mean 1/2.
    logits = torch.full((1, 1, 1, 2), LN3)
    easy, hard = 0.25**LN2 * math.log(4 / 3), 1.25 ** (2 * LN2) * 2 * LN2
    assert threshold_focal_loss(logits, image([1.0, 0.0])).item() == pytest.approx((easy + hard) / 2)


def test_threshold_focal_has_the_gradient_of_its_formula() -> None:
    """By central differences of the formula in plain numbers; a saturated pixel has a finite one, too."""

    def formula(z: float) -> float:
        p_t = [1 / (1 + math.exp(-z)), 1 - 1 / (1 + math.exp(-LN3))]
        mean = sum(p_t) / 2
        return (
            float(sum((1 - p) ** -math.log(mean) * -math.log(p) if p > 0.5 else (1.5 - p) ** -math.log(p) * -math.log(p) for p in p_t)) / 2
        )

    logits = image([LN3, LN3]).requires_grad_()
    threshold_focal_loss(logits, image([1.0, 0.0])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert float(logits.grad[0, 0, 0, 0]) == pytest.approx((formula(LN3 + 1e-4) - formula(LN3 - 1e-4)) / 2e-4, rel=1e-3)
    saturated = image([60.0, -60.0, 60.0]).requires_grad_()
    threshold_focal_loss(saturated, image([1.0, 0.0, 0.0])).backward()  # type: ignore[no-untyped-call]
    assert saturated.grad is not None
    assert saturated.grad.isfinite().all()


def test_focal_iou_of_mtu_net_by_hand() -> None:
    # One pixel at p = 0.5, a target: IoU (0.5 + 1) / (1 + 1), F = 0.25 ln 2.
    iou = 0.75
    expected = 0.75 * (1 - iou) * (0.25 * LN2) ** (0.5 * iou + 0.5)
    assert focal_iou_loss(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).item() == pytest.approx(expected)
    assert math.isfinite(focal_iou_loss(torch.full((1, 1, 2, 2), -200.0), torch.ones(1, 1, 2, 2)).item())


def test_the_published_iou_of_focal_iou_is_as_low_as_the_page_says() -> None:
    def published(side_px: int) -> float:
        truth = square(3, 50, 50, side_px)
        return Masses.of(0.999 * (truth - 0.5) + 0.5, truth, None, "batch").iou(smooth=1.0).item()

    assert [published(256), published(1024)] == pytest.approx([0.234, 0.0187], rel=5e-3), "docs/losses.md"


def test_focal_iou_weighs_a_target_three_quarters_and_a_background_a_quarter() -> None:
    # p is 3/4 on the target, 3/4 and 1/4 on the background: I = 3/4, P = 7/4, Y = 1; p' is 0.999 / 4 away from a half.
    logits, targets = image([LN3, LN3, -LN3]), image([1.0, 0.0, 0.0])
    iou = (3 / 4 + 1) / (7 / 4 + 1 - 3 / 4 + 1)
    high, low = 0.5 + 0.999 / 4, 0.5 - 0.999 / 4
    easy, hard = (-(low**2) * math.log(high), -(high**2) * math.log(low))
    power = 0.5 * iou + 0.5
    expected = (1 - iou) * (0.75 * easy**power + 0.25 * (hard**power + easy**power))
    assert focal_iou_loss(logits, targets).item() == pytest.approx(expected)


def location_of(x_p: float, y_p: float, x_t: float, y_t: float) -> float:
    """SLS's location term from two centres."""
    r_p, r_t = math.hypot(x_p, y_p), math.hypot(x_t, y_t)
    turn = math.atan2(y_p, x_p) - math.atan2(y_t, x_t)
    return 1 - min(r_p, r_t) / max(r_p, r_t) + 4 / math.pi**2 * turn**2


def test_sls_by_hand() -> None:
    answer, truth = image([1.0, 0.0, 0.0, 0.0]), image([0.0, 0.0, 0.0, 1.0])
    # IoU 1/3 with s = 1, equal masses; centres at 1/8 and 7/8 of the width.
    scale, location = 2 / 3, location_of(1 / 8, 1 / 2, 7 / 8, 1 / 2)
    assert sls_loss(sure(answer), truth).item() == pytest.approx(scale + location, rel=1e-5)
    assert sls_loss(sure(answer), truth, location=False).item() == pytest.approx(scale, rel=1e-5)
    # Four pixels for one, around the same centre: IoU 2/5, weight (1 + 2.25 + 1) / (4 + 2.25 + 1).
    wide, narrow = image([1.0, 1.0, 0.0], [1.0, 1.0, 0.0]), image([1.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    expected = 1 - 2 / 5 * 4.25 / 7.25
    assert sls_loss(sure(wide), narrow, location=False).item() == pytest.approx(expected, rel=1e-5)


def test_sls_charges_a_shift_the_same_whatever_the_targets_size() -> None:
    """Never divided by the mass, the published centre of a 3 x 3 target hardly moves."""
    costs = []
    for side in (3, 9):
        truth = square(side, 30, 20)
        costs.append(sls_loss(sure(square(side, 30, 30)), truth).item() - sls_loss(sure(truth), truth).item())
    location = [cost - part for cost, part in zip(costs, (1 - 1 / 19, 1 - 1 / 163), strict=True)]
    assert location[0] > 0.1
    assert location[0] == pytest.approx(location[1], rel=0.25)


def published_centre(mass_HW: Tensor) -> tuple[float, float]:
    """Of MSHNet's code: a mean over all pixels, not divided by the mass."""
    x, y = ((mass_HW * (torch.arange(256) / 256).view(shape)).mean().item() for shape in ((1, -1), (-1, 1)))
    return math.sqrt(x**2 + y**2 + 1e-8), math.atan2(y, x)


def test_the_published_location_term_is_as_wrong_as_the_page_says() -> None:
    truth = square(3, 50, 50, 256)[0, 0]
    costs = []
    for answer in (truth / 2, square(3, 60, 60, 256)[0, 0]):
        (r_p, theta_p), (r_t, theta_t) = published_centre(answer), published_centre(truth)
        costs.append(1 - min(r_p, r_t) / max(r_p, r_t) + 4 / math.pi**2 * (theta_p - theta_t) ** 2)
    assert costs == pytest.approx([0.05, 0.027], abs=5e-4), "docs/losses.md"


def test_sls_at_half_probability_keeps_the_centre() -> None:
    truth = square(3, 30, 20)
    logits = torch.full((1, 1, 64, 64), -40.0)
    logits[truth > 0] = 0.0
    # IoU (4.5 + 1) / (9 + 1), masses 4.5 and 9; no location term is left.
    expected = 1 - 0.55 * (4.5 + 2.25**2 + 1) / (9 + 2.25**2 + 1)
    assert sls_loss(logits, truth).item() == pytest.approx(expected, rel=1e-3)


def test_sd_weighs_the_scale_of_large_targets_more() -> None:
    answer, truth = image([1.0, 0.0, 0.0, 0.0]), image([0.0, 0.0, 0.0, 1.0])
    scale, location = 2 / 3, location_of(1 / 8, 1 / 2, 7 / 8, 1 / 2)
    assert sd_loss(sure(answer), truth).item() == pytest.approx(1.5 * scale + 0.5 * location, rel=1e-5)
    # In 512 x 512 pixels, nine of them weigh 0.5 * 9 / 81.
    truth = square(3, 100, 100, of_px=512)
    nothing = torch.full((1, 1, 512, 512), -40.0)
    scale = 1 - (1 / 10) * (0 + 20.25 + 1) / (9 + 20.25 + 1)
    location = location_of(0.5 / 512, 0.5 / 512, 101.5 / 512, 101.5 / 512)
    assert sd_loss(nothing, truth).item() == pytest.approx((1 + 1 / 18) * scale + (1 - 1 / 18) * location, rel=1e-4)


@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    torch.manual_seed(3)
    logits = torch.randn(2, 1, 5, 6, dtype=torch.double, requires_grad=True)
    targets = (torch.rand(2, 1, 5, 6) > 0.7).double()
    weights = (torch.rand(2, 1, 5, 6) > 0.2).double()
    loss = loss_named(name)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, weights_B1HW=weights), (logits,))


@pytest.mark.parametrize("name", sorted(SEGMENTATION_LOSSES))
def test_every_loss_is_finite_prefers_the_truth_and_ignores_the_unknown(name: str) -> None:
    loss = loss_named(name)
    empty, truth = torch.zeros(1, 1, 32, 32), square(3, 8, 20, of_px=32)
    for targets in (empty, truth):
        for answer in (torch.zeros_like(targets), torch.full_like(targets, -80.0), torch.full_like(targets, 80.0), sure(targets)):
            logits = answer.clone().requires_grad_()
            cost = loss(logits, targets)
            cost.backward()  # type: ignore[no-untyped-call]
            assert math.isfinite(cost.item())
            assert logits.grad is not None
            assert logits.grad.isfinite().all()
        right = loss(sure(targets), targets).item()
        assert right == pytest.approx(0, abs=1e-2)
        assert right < loss(torch.zeros_like(targets), targets).item()
    assert loss(sure(square(3, 8, 20, of_px=32)), truth) < loss(sure(square(3, 9, 21, of_px=32)), truth)
    known = torch.ones_like(truth)
    known[..., 16:, :] = 0
    logits = torch.randn(1, 1, 32, 32, requires_grad=True)
    loss(logits, truth, weights_B1HW=known).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[..., 16:, :] == 0).all()
    assert (logits.grad[..., :16, :] != 0).any()


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"one of soft_iou, .*sls, sd.* got 'iou'"):
        loss_named("iou")
