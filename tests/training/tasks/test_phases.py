"""Crops and loss of a segmenter change with the share of the training that is done, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor

from contracts.errors import SettingsError
from models.interface import MetadataBatch
from models.losses import loss_named
from models.losses.hard_negatives import hardest_negatives_loss
from models.segmentation.acm import Acm
from tests.training.test_overfit import made_images
from training.augmentation.camera import Flaws
from training.augmentation.plan import Augmentation
from training.data.batches import Batch
from training.recipes import plan_named
from training.tasks.phases import Phases
from training.tasks.segmentation import SegmentationBatches, SegmentationRecipe, SegmentationTask, segmentation_loss_of

PHASES = Phases(sides=((0.2, 0.5), (0.4, 0.75)), clean_from=0.8, hard_from=0.6, hard_weight=0.5)
CROPS = Augmentation(crop_px=64, flaws=Flaws(probability=1.0))
RECIPE = SegmentationRecipe(batch_size=2, augmentation=CROPS, shares={"nudt-sirst": 1.0}, phases=PHASES)


def test_sides_flaws_and_hard_negatives_by_progress() -> None:
    at = [PHASES.augmentation(CROPS, progress) for progress in (0, 0.19, 0.2, 0.4, 0.79, 0.8, 1.0)]
    assert [each.crop_px for each in at] == [32, 32, 48, 64, 64, 64, 64]
    assert [each.flaws.probability for each in at] == [1, 1, 1, 1, 1, 0, 0]
    assert [PHASES.weight_of_hard(progress) for progress in (0, 0.59, 0.6, 1.0)] == [0, 0, 0.5, 0.5]
    level = Phases()
    assert level.is_level
    assert level.augmentation(CROPS, 1.0) == CROPS
    assert level.weight_of_hard(1.0) == 0


@pytest.mark.parametrize("phases", [Phases(sides=((0.5, 0.5),)), Phases(clean_from=0.9), Phases(hard_from=0.7)])
def test_phases_want_steps_to_be_counted(phases: Phases) -> None:
    assert not phases.is_level
    with pytest.raises(SettingsError, match="`minutes of training`: expected a length in epochs"):
        SegmentationBatches(made_images(2), replace(RECIPE, phases=phases))


def test_a_batch_is_of_its_phase_wherever_the_training_begins() -> None:
    whole = list(islice(SegmentationBatches(made_images(4), RECIPE, 10).batches(), 12))
    assert [batch.pixels_B1HW.shape[-1] for batch in whole] == [32, 32, 48, 48, *[64] * 8]
    assert [batch.targets[2].flatten().tolist() for batch in whole] == [[0.0, 0.0]] * 6 + [[0.5, 0.5]] * 6
    for start in (3, 7):
        again = SegmentationBatches(made_images(4), RECIPE, 10).batches(start)
        for batch, same in zip(whole[start:], again, strict=False):
            assert all(torch.equal(one, other) for one, other in zip(batch.tensors, same.tensors, strict=True))


def test_norms_are_calibrated_on_crops_of_the_end() -> None:
    (first,) = SegmentationBatches(made_images(4), RECIPE, 10).calibration(1)
    clean = replace(RECIPE, phases=Phases(), augmentation=replace(CROPS, flaws=Flaws(probability=0.0)))
    (plain,) = SegmentationBatches(made_images(4), clean).calibration(1)
    assert torch.equal(first.pixels_B1HW, plain.pixels_B1HW)


class HotOutline(Acm):
    """Logits that are highest right beside the target, as a blurred answer's are."""

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        hot_B1HW = torch.zeros_like(pixels_BCHW)
        hot_B1HW[:, :, 29:34, 29:34] = 9.0
        return super().forward(pixels_BCHW, metadata) + hot_B1HW


def test_the_hardest_negatives_cost_what_their_weight_says_and_not_the_outline() -> None:
    torch.manual_seed(0)
    masks = torch.zeros(2, 1, 64, 64)
    masks[:, :, 30:33, 30:33] = 1
    known = torch.ones_like(masks)
    model = HotOutline().eval()
    pixels = torch.randn(2, 1, 64, 64)
    metadata = MetadataBatch.unknown((64, 64), 2)
    losses = []
    for weight in (0.0, 0.5):
        batch = Batch(pixels, (masks, known, torch.full((2, 1, 1, 1), weight)), metadata)
        losses.append(float(segmentation_loss_of(model, batch, "soft_iou_bce").detach()))
    logits = model(pixels, metadata).detach()
    near = masks.clone()
    near[:, :, 28:35, 28:35] = 1
    assert losses[0] == pytest.approx(float(loss_named("soft_iou_bce")(logits, masks, weights_B1HW=known)), rel=1e-5)
    assert losses[1] - losses[0] == pytest.approx(0.5 * float(hardest_negatives_loss(logits, near, known)), rel=1e-3)


def test_passes_are_recorded_only_where_all_crops_have_one_size() -> None:
    assert not SegmentationTask(Acm(), RECIPE).records_passes
    assert SegmentationTask(Acm(), replace(RECIPE, phases=replace(PHASES, sides=()))).records_passes


def test_the_recipe_for_strangers() -> None:
    plan = plan_named("stranger")
    recipe = plan.recipe
    assert isinstance(recipe, SegmentationRecipe)
    sides = {progress: recipe.phases.augmentation(recipe.augmentation, progress).crop_px for progress in (0.0, 0.1, 0.2, 1.0)}
    assert sides == {0.0: 128, 0.1: 192, 0.2: 256, 1.0: 256}
    assert recipe.augmentation.flaws.probability == 0.5
    assert recipe.augmentation.keep_offsets
    assert sum(recipe.shares.values()) == pytest.approx(1.0)
    assert (plan.loop.schedule, recipe.phases.hard_from, recipe.phases.clean_from) == ("warm_up_stable_decay", 0.7, 0.9)
