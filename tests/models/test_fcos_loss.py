"""Which locations are responsible for which box, and that decoding undoes encoding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.detection.base import BoxTruth
from models.detection.fcos import LightFcos
from models.detection.fcos_boxes import BASE_SIZE_PX, STRIDES, decode_boxes, locations_of
from models.detection.fcos_loss import assign, centreness_of, fcos_loss

SIDE_PX = 128
SIZES = [(SIDE_PX // stride, SIDE_PX // stride) for stride in STRIDES]
NONE = torch.zeros(0, 4)


def level_of(index: int) -> int:
    counts = [height * width for height, width in SIZES]
    return next(level for level in range(len(counts)) if index < sum(counts[: level + 1]))


@pytest.mark.parametrize(("side_px", "level"), [(1.0, 0), (3.0, 0), (16.0, 0), (17.0, 1), (48.0, 1), (49.0, 2), (100.0, 2)])
def test_size_decides_the_level_and_every_size_has_locations(side_px: float, level: int) -> None:
    box = torch.tensor([[64 - side_px / 2, 62 - side_px / 2, 64 + side_px / 2, 62 + side_px / 2]])
    targets = assign(box, NONE, SIZES)
    positive = torch.nonzero(targets.is_target_N)[:, 0].tolist()
    assert {level_of(index) for index in positive} == {level}
    assert 4 <= len(positive) <= 16
    assert targets.centreness_N[positive].min() > 0
    assert targets.centreness_N.max() <= 1


def test_the_smaller_box_wins_a_shared_location() -> None:
    boxes = torch.tensor([[20.0, 20, 34, 34], [24, 24, 29, 29]])
    targets = assign(boxes, NONE, SIZES)
    assert (targets.box_N4[targets.is_target_N > 0] == boxes[1]).all(1).any()
    centre = torch.cat([locations_of(height, width, stride) for (height, width), stride in zip(SIZES, STRIDES, strict=True)])
    nearest = int((centre - 26.5).abs().sum(1)[: 32 * 32].argmin())
    assert torch.equal(targets.box_N4[nearest], boxes[1])


def test_ignored_regions_carry_no_weight_unless_a_target_lies_there() -> None:
    targets = assign(torch.tensor([[60.0, 60, 66, 66]]), torch.tensor([[0.0, 0, 128, 128]]), SIZES)
    assert torch.equal(targets.weight_N, targets.is_target_N)
    assert assign(NONE, NONE, SIZES).weight_N.min() == 1


def test_centreness_is_one_in_the_middle_and_falls_to_the_border() -> None:
    box = torch.tensor([[0.0, 0, 40, 40]]).expand(3, 4)
    at = torch.tensor([[20.0, 20], [30, 20], [40, 20]])
    np.testing.assert_allclose(centreness_of(at, box, torch.full((3,), 4.0)), [1, math.sqrt(10 / 30), 0], rtol=1e-6)


def test_decoding_gives_the_box_back() -> None:
    locations = locations_of(2, 2, 8)
    np.testing.assert_array_equal(locations, [[4, 4], [12, 4], [4, 12], [12, 12]])
    geometry = torch.tensor([[0.25, -0.5, math.log(10 / BASE_SIZE_PX[1]), math.log(6 / BASE_SIZE_PX[1])]])
    torch.testing.assert_close(decode_boxes(geometry, locations[:1], 1), torch.tensor([[1.0, -3, 11, 3]]))


def test_a_perfect_answer_costs_less_than_any_other() -> None:
    box = torch.tensor([[40.0, 44, 46, 50]])
    targets = assign(box, NONE, SIZES)
    raw, start = [], 0
    for level, ((height, width), stride) in enumerate(zip(SIZES, STRIDES, strict=True)):
        part = slice(start, start + height * width)
        start += height * width
        offset = (torch.tensor([43.0, 47.0]) - locations_of(height, width, stride)) / stride
        size = torch.full_like(offset, math.log(6 / BASE_SIZE_PX[level]))
        certain = torch.where(targets.is_target_N[part] > 0, 12.0, -12.0)
        centred = torch.logit(targets.centreness_N[part].clamp(1e-4, 1 - 1e-4))
        raw.append(torch.cat([certain[:, None], centred[:, None], offset, size], 1).T.reshape(1, 6, height, width))
    perfect = fcos_loss(raw, [BoxTruth(box, NONE)]).item()
    moved = [level.clone() for level in raw]
    moved[0][:, 2] += 0.5
    blind = [level.clone() for level in raw]
    blind[0][:, 0] = -12
    floor = -(targets.centreness_N * targets.centreness_N.clamp(1e-4, 1).log())[targets.is_target_N > 0].mean().item()
    assert perfect < floor + 0.7
    assert fcos_loss(moved, [BoxTruth(box, NONE)]).item() > perfect + 0.1
    assert fcos_loss(blind, [BoxTruth(box, NONE)]).item() > perfect + 1
    model = LightFcos().eval()
    (found,) = model.postprocess(tuple(raw), [(SIDE_PX, SIDE_PX)])
    np.testing.assert_allclose(found.boxes_xyxy_px[0], box[0], atol=1e-3)
    assert len(found) == 1


def test_a_crop_without_targets_still_teaches() -> None:
    raw = [torch.zeros(1, 6, height, width, requires_grad=True) for height, width in SIZES]
    loss = fcos_loss(raw, [BoxTruth(NONE, NONE)])
    loss.backward()  # type: ignore[no-untyped-call]
    assert raw[0].grad is not None
    assert (raw[0].grad[:, 0] > 0).all()
