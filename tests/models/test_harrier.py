"""Harrier: what its scores and boxes learn from, and that it is as light as it says."""

from __future__ import annotations

import math

import pytest
import torch

from contracts.frame import Band, Platform
from models.cost import counted
from models.detection.base import BoxTruth
from models.detection.fcos_boxes import BASE_SIZE_PX, STRIDES, decode_boxes
from models.detection.harrier import Harrier
from models.detection.harrier_loss import assign, harrier_loss, places_of, similarity
from models.detection.light_metadata import LightMetadata
from models.interface import MetadataBatch
from models.losses.boxes import wasserstein_similarity
from models.losses.pixelwise import quality_focal_loss

SIDE_PX = 128
SIZES = [(SIDE_PX // stride, SIDE_PX // stride) for stride in STRIDES]
PLACES = places_of(SIZES, torch.device("cpu"))
NONE = torch.zeros(0, 4)


def level_of(index: int) -> int:
    return int(torch.tensor(STRIDES).tolist().index(int(PLACES.stride_N[index])))


def usual_boxes() -> torch.Tensor:
    halves = PLACES.base_px_N[:, None] / 2
    return torch.cat([PLACES.xy_N2 - halves, PLACES.xy_N2 + halves], 1)


def box_at(x: float, y: float, side: float) -> torch.Tensor:
    return torch.tensor([[x - side / 2, y - side / 2, x + side / 2, y + side / 2]])


def raw_of(truth: BoxTruth, *, score: float = -9.0, moved_px: float = 0.0) -> list[torch.Tensor]:
    """Raw maps whose boxes all lie where the first target is, moved to the right."""
    middle, size = (truth.boxes_M4[0, :2] + truth.boxes_M4[0, 2:]) / 2, truth.boxes_M4[0, 2:] - truth.boxes_M4[0, :2]
    maps, start = [], 0
    for level, (height, width) in enumerate(SIZES):
        xy = PLACES.xy_N2[start : start + height * width]
        start += height * width
        offsets = (middle + torch.tensor([moved_px, 0.0]) - xy) / STRIDES[level]
        logs = (size / BASE_SIZE_PX[level]).log().expand(len(xy), 2)
        rows = torch.cat([torch.full((len(xy), 1), score), offsets, logs, torch.zeros(len(xy), 8)], 1)
        maps.append(rows.T.reshape(1, 13, height, width).requires_grad_())
    return maps


def test_it_is_as_light_as_it_says() -> None:
    cost = counted("harrier")
    assert 1.0e6 < cost.parameters < 1.5e6
    assert cost.gmacs < counted("fcos_light").gmacs


@pytest.mark.parametrize(("side_px", "level"), [(2.0, 0), (3.0, 0), (28.0, 1), (90.0, 2)])
def test_at_first_size_decides_the_level_and_every_size_has_a_location(side_px: float, level: int) -> None:
    scores = torch.zeros(len(PLACES.stride_N))
    owned = assign(BoxTruth(box_at(61, 66, side_px), NONE), PLACES, scores, usual_boxes())
    mine = (owned.box_N >= 0).nonzero()[:, 0].tolist()
    assert mine
    assert {level_of(index) for index in mine} == {level}


def test_the_location_that_answers_best_is_responsible() -> None:
    box = box_at(61, 66, 6)
    scores, boxes = torch.zeros(len(PLACES.stride_N)), usual_boxes()
    near = ((PLACES.xy_N2 - 66).abs().amax(1) < 6).nonzero()[:, 0]
    chosen = next(int(index) for index in near if level_of(int(index)) == 0)
    boxes[chosen] = box[0]
    owned = assign(BoxTruth(box, NONE), PLACES, scores, boxes)
    assert owned.box_N[chosen] == 0
    # A second target keeps a location of its own, and what nobody labelled is no background.
    both = assign(BoxTruth(torch.cat([box, box_at(63, 66, 6)]), torch.tensor([[0.0, 0, 128, 128]])), PLACES, scores, boxes)
    assert set(both.box_N.tolist()) == {-1, 0, 1}
    assert torch.equal(both.known_N, both.box_N >= 0)
    assert assign(BoxTruth(NONE, NONE), PLACES, scores, boxes).known_N.all()


def test_a_tiny_box_beside_its_target_is_nearer_than_one_farther_off() -> None:
    target = box_at(50, 50, 3)
    beside, farther = (box_at(50 + away, 50, 3) for away in (4.0, 8.0))
    assert 0 < similarity(farther, target) < similarity(beside, target) < similarity(target, target) == pytest.approx(1, abs=1e-3)
    # By hand: centres 4 px apart, sizes equal; root of the area is 3.
    assert wasserstein_similarity(beside, target).item() == pytest.approx(math.exp(-4 / 3), rel=1e-4)
    assert similarity(box_at(80, 50, 30), box_at(50, 50, 30)) == 0


def test_quality_focal_loss_by_hand() -> None:
    logit, quality = torch.tensor([0.0]), torch.tensor([0.75])
    assert quality_focal_loss(logit, quality, torch.ones(1)).item() == pytest.approx(0.25**2 * math.log(2), rel=1e-5)
    assert quality_focal_loss(logit, quality, torch.zeros(1)) == 0
    assert quality_focal_loss(torch.tensor([math.log(3)]), quality, torch.ones(1)).item() == pytest.approx(0, abs=1e-12)


def test_a_moved_box_costs_more_and_its_score_learns_that_it_is_worse() -> None:
    # Nobody labelled the rest: what is left is the loss of the locations that are responsible.
    truth = BoxTruth(box_at(61, 66, 12), torch.tensor([[0.0, 0, SIDE_PX, SIDE_PX]]))
    assert harrier_loss(raw_of(truth, score=9.0), [truth]).item() == pytest.approx(0, abs=1e-3)
    pulls = []
    for moved_px in (0.0, 4.0):
        raw = raw_of(truth, score=0.5, moved_px=moved_px)
        loss = harrier_loss(raw, [truth])
        loss.backward()  # type: ignore[no-untyped-call]
        pulls.append(sum(float(level.grad[:, 0].sum()) for level in raw if level.grad is not None))
    assert pulls[0] < 0 < pulls[1]
    assert loss > 0.3


def test_background_is_told_from_targets_and_crops_without_any_teach_too() -> None:
    truth, nothing = BoxTruth(box_at(61, 66, 12), NONE), BoxTruth(NONE, NONE)
    raw = raw_of(truth, score=2.0)
    assert harrier_loss(raw, [nothing]) > harrier_loss(raw_of(truth), [nothing])
    harrier_loss(raw, [nothing]).backward()  # type: ignore[no-untyped-call]
    assert all(level.grad is not None and (level.grad[:, 0] > 0).all() and (level.grad[:, 1:] == 0).all() for level in raw)


def test_a_loose_target_teaches_its_place_and_class_and_no_size() -> None:
    loose = BoxTruth(box_at(61, 66, 12), NONE, torch.tensor([True]), torch.tensor([6]))
    raw = raw_of(loose, moved_px=3)
    harrier_loss(raw, [loose]).backward()  # type: ignore[no-untyped-call]
    grads = torch.cat([level.grad.flatten(2)[0] for level in raw if level.grad is not None], 1)
    assert grads[3:5].abs().max() == 0
    assert grads[1].abs().max() > 0
    assert grads[5 + 6].min() < 0
    known = BoxTruth(box_at(61, 66, 9), NONE)
    raw = raw_of(loose, moved_px=3)
    harrier_loss(raw, [known]).backward()  # type: ignore[no-untyped-call]
    assert max(float(level.grad[:, 3:5].abs().max()) for level in raw if level.grad is not None) > 0
    assert loose.without_loose().ignored_K4.tolist() == loose.boxes_M4.tolist()
    assert len(loose.without_loose().boxes_M4) == len(loose.without_loose().class_M) == 0


def test_metadata_begins_as_nothing_and_unknown_adds_nothing() -> None:
    encoder, x = LightMetadata(4), torch.rand(3, 4, 2, 2)
    each = [(Platform.AIR, Band.LWIR, (512, 640)), (Platform.UNKNOWN, Band.UNKNOWN, (512, 640)), (Platform.LAND, Band.MWIR, (256, 256))]
    assert torch.equal(encoder(x, MetadataBatch.of_each(each)), x)
    torch.nn.init.normal_(encoder.gains.weight)
    together = encoder(x, MetadataBatch.of_each(each))
    alone = encoder(x[1:2], MetadataBatch.unknown((512, 640)))
    torch.testing.assert_close(together[1:2], alone)
    assert not torch.equal(encoder(x, MetadataBatch.of_each(each[::-1]))[0], together[0])


def test_decoded_boxes_and_scores_are_those_of_the_maps() -> None:
    truth = BoxTruth(box_at(61, 66, 12), NONE)
    scores, boxes = Harrier().scored_boxes(tuple(raw_of(truth, score=2.0)))
    assert scores.shape == (1, len(PLACES.stride_N))
    torch.testing.assert_close(scores, torch.full_like(scores, 2.0).sigmoid())
    torch.testing.assert_close(boxes[0], truth.boxes_M4.expand_as(boxes[0]), atol=1e-3, rtol=0)
    assert torch.equal(decode_boxes(torch.zeros(1, 4), PLACES.xy_N2[:1], 0)[0], usual_boxes()[0])
