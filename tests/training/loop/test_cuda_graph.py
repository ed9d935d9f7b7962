"""Batches held at one place, and passes of a GPU that are recorded once: the same training as without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from models.zoo import create_model
from training.augmentation.plan import Augmentation
from training.loop.cuda_graph import HeldBatches
from training.loop.loop import train
from training.loop.settings import LoopSettings
from training.tasks.segmentation import Batch, SegmentationRecipe, segmentation_step

RECIPE = SegmentationRecipe(batch_size=4, augmentation=Augmentation(crop_px=64))


class Numbered:
    """Batches that are told apart, the same ones again for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.num = 0

    def draw(self) -> Batch:
        self.num += 1
        masks = (torch.rand(4, 1, 64, 64, generator=self._generator) > 0.99).float()
        return torch.randn(4, 1, 64, 64, generator=self._generator) + 4 * masks, masks, torch.ones_like(masks)


def test_a_batch_stays_until_the_next_takes_its_place() -> None:
    drawn, again = Numbered(), Numbered()
    held = HeldBatches(drawn, "cpu")
    assert drawn.num == 0
    places = set()
    for number in range(1, 4):
        if number > 1:
            held.refill()
        expected = again.draw()
        for _ in range(2):
            for got, wanted in zip(held.draw(), expected, strict=True):
                torch.testing.assert_close(got, wanted, rtol=0, atol=0)
        places.add(tuple(each.data_ptr() for each in held.draw()))
        assert drawn.num == number
    assert len(places) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
@pytest.mark.parametrize("name", ["kestrel_fine", "sgem_unet"])
def test_recorded_passes_train_as_others_do(name: str) -> None:
    """Not for networks with chance in them: recorded, they draw from another place of the generator."""
    ends = []
    for recorded in (False, True):
        torch.manual_seed(0)
        model = create_model(name).to("cuda")
        batches = Numbered()
        held = HeldBatches(batches, "cuda") if recorded else None
        refill: Callable[[], None] | None = held.refill if held else None
        average, report = train(
            model, partial(segmentation_step, held or batches, RECIPE), LoopSettings(max_steps=6, max_lr=1e-4), refill=refill
        )
        assert batches.num == report.steps == 6
        ends.append((report.last_loss, torch.cat([buffer.flatten().float() for buffer in average.state_dict().values()])))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-3)
    torch.testing.assert_close(ends[0][1], ends[1][1], rtol=1e-2, atol=2e-3)
