"""What the batches hand to the losses: places nobody knows weigh nothing, crops without a class say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.classification.classes import CLASS_NAMES
from models.interface import MetadataBatch
from models.losses import loss_named, segmentation_loss, soft_iou_loss
from models.segmentation.acm import Acm
from models.zoo import create_model
from tests.training.test_overfit import made_images
from training.augmentation.paste import PasteSettings
from training.augmentation.plan import Augmentation
from training.data.batches import Batch
from training.tasks.classification import UNNAMED, ClassificationBatches, ClassificationRecipe, classification_loss
from training.tasks.segmentation import SegmentationBatches, SegmentationRecipe, segmentation_loss_of


def test_boxes_without_a_mask_weigh_nothing() -> None:
    samples = [replace(sample, mask_path=None, read_mask=None) for sample in made_images(4, "hit-uav")]
    crops = Augmentation(crop_px=64, paste=PasteSettings(probability=0.0))
    recipe = SegmentationRecipe(batch_size=8, augmentation=crops, shares={"hit-uav": 1.0})
    # One image with a mask, which is never drawn: masks there must be, somewhere.
    drawn = next(SegmentationBatches([*samples, *made_images(1)], recipe).batches())
    pixels, (masks, weights) = drawn.pixels_B1HW, drawn.targets
    assert not masks.any()
    for number in range(8):
        # The blobs are 90 counts brighter than all else.
        bright = pixels[number, 0] > pixels[number, 0].median() + 2
        assert bright.sum() >= 64
        assert (weights[number, 0][bright] == 0).all()
        assert (weights[number] == 0).sum() <= 10 * 18


def test_ignored_regions_of_a_set_with_masks_weigh_nothing() -> None:
    (sample,) = made_images(1)
    around_N4 = sample.boxes_xyxy_px + np.array([-1, -1, 1, 1], np.float32)
    ignored = replace(sample, labels=("ignore",), boxes_xyxy_px=around_N4)
    assert not sample.unknown_HW.any()
    assert (ignored.unknown_HW.sum(), ignored.mask_HW.sum()) == (100 - 64, 64), "the truth is known inside, too"
    assert not (ignored.unknown_HW & ignored.mask_HW).any()


def test_weights_of_zero_leave_the_loss_as_if_nothing_were_there() -> None:
    logits = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(2, 1, 8, 8)
    weights = torch.ones(2, 1, 8, 8)
    weights[:, :, :3] = 0
    other = logits.clone()
    other[:, :, :3] = 9.0
    assert segmentation_loss(logits, targets, weights_B1HW=weights) == segmentation_loss(other, targets, weights_B1HW=weights)
    assert soft_iou_loss(logits, targets, weights_B1HW=weights) != soft_iou_loss(logits, targets)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acm", "dnanet", "kestrel"])
@pytest.mark.parametrize("crop_px", [33, 50])
def test_a_crop_of_any_size_is_padded_with_what_weighs_nothing(name: str, crop_px: int) -> None:
    torch.manual_seed(0)
    recipe = SegmentationRecipe(batch_size=2, augmentation=Augmentation(crop_px=crop_px))
    batch = next(SegmentationBatches(made_images(4), recipe).batches())
    model = create_model(name)
    seen: list[torch.Size] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    loss = segmentation_loss_of(model, batch, recipe.loss)
    assert torch.isfinite(loss)
    assert seen[0][-1] == seen[0][-2] == -(-crop_px // model.input_spec.size_multiple_px) * model.input_spec.size_multiple_px
    loss.backward()  # type: ignore[no-untyped-call]


class Everywhere(Acm):
    """Says the same of every pixel."""

    def forward(self, pixels_BCHW: torch.Tensor, metadata: MetadataBatch) -> torch.Tensor:
        return super().forward(pixels_BCHW, metadata) * 0 + 3.0


def test_padding_does_not_change_an_overlap() -> None:
    masks = (torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0)) > 0.9).float()
    batch = Batch(torch.zeros(2, 1, 40, 40), (masks, torch.ones_like(masks)), MetadataBatch.unknown((40, 40), 2))
    loss = segmentation_loss_of(Everywhere(), batch, "soft_iou")
    torch.testing.assert_close(loss, loss_named("soft_iou")(torch.full_like(masks, 3.0), masks))


def test_crops_without_a_class_come_in_their_share_and_touch_no_target() -> None:
    recipe = ClassificationRecipe(batch_size=400, unnamed_share=0.5, background_share=1.0)
    drawn = next(ClassificationBatches(made_images(6, "hit-uav"), recipe, CLASS_NAMES, 48).batches())
    crops, (labels,) = drawn.pixels_B1HW, drawn.targets
    assert 0.4 < (labels == UNNAMED).float().mean() < 0.6
    # Every crop of a target holds its blob, seven deviations above the middle; the middle of a background crop never does.
    middles = crops[:, 0, 20:28, 20:28].mean((1, 2)) - crops.median()
    assert (middles[labels != UNNAMED] > 1.5).all()
    assert (middles[labels == UNNAMED] < 1.5).all()


def test_small_targets_of_sets_without_classes_have_none() -> None:
    recipe = ClassificationRecipe(batch_size=60, unnamed_share=1.0, background_share=0.0, unclear_side_px=10.0)
    batches = ClassificationBatches([*made_images(4, "hit-uav"), *made_images(4)], recipe, CLASS_NAMES, 48)
    (labels,) = next(batches.batches()).targets
    assert (labels == UNNAMED).all()


def test_the_loss_of_unnamed_crops_is_least_for_equal_scores() -> None:
    labels = torch.tensor([UNNAMED, 1])
    sure = torch.tensor([[4.0, 0, 0], [0, 9, 0]])
    equal = torch.tensor([[1.0, 1, 1], [0, 9, 0]])
    assert classification_loss(equal, labels, 0.0) < classification_loss(sure, labels, 0.0)
    only_named = classification_loss(equal[1:], labels[1:], 0.0)
    np.testing.assert_allclose(classification_loss(equal, labels, 0.0), (np.log(3) + only_named) / 2, rtol=1e-5)
