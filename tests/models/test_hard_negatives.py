"""The loss of the background that looks most like a target."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.losses.hard_negatives import hardest_negatives_loss


def test_it_is_the_mean_cost_of_the_hardest_background_pixels() -> None:
    logits = torch.linspace(-5, 5, 400).view(1, 1, 20, 20)
    empty = torch.zeros_like(logits)
    expected = functional.softplus(logits.flatten()[-2:]).mean()
    torch.testing.assert_close(hardest_negatives_loss(logits, empty), expected)
    torch.testing.assert_close(hardest_negatives_loss(logits, empty, share=1.0), functional.softplus(logits).mean())


def test_targets_and_unknown_pixels_cost_nothing_and_get_no_gradient() -> None:
    logits = torch.zeros(2, 1, 10, 10, requires_grad=True)
    targets, weights = torch.zeros(2, 1, 10, 10), torch.ones(2, 1, 10, 10)
    targets[:, :, :5], weights[:, :, 5:] = 1, 0
    loss = hardest_negatives_loss(logits, targets, weights)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_each_sample_has_its_own_share() -> None:
    logits = torch.full((2, 1, 10, 20), -20.0)
    logits[0, 0, 0, :5] = 9.0
    empty = torch.zeros_like(logits)
    loss = float(hardest_negatives_loss(logits, empty))
    assert loss == pytest.approx(9.0 / 2, abs=1e-3), "one pixel of 200 each: the second sample's costs nothing"


def test_only_the_hardest_learn() -> None:
    logits = torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(2)).requires_grad_()
    hardest_negatives_loss(logits, torch.zeros(1, 1, 40, 40)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert int((logits.grad > 0).sum()) == 8
    assert float(logits.detach()[logits.grad > 0].min()) >= float(logits.detach()[logits.grad == 0].max())
