"""Batches held at one place, and passes of a GPU that are recorded once: the same training as without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from models.interface import MetadataBatch
from models.segmentation.base import SegmentationModel
from models.zoo import create_model
from training.data.batches import Batch
from training.loop.cuda_graph import HeldBatches
from training.loop.loop import train
from training.loop.settings import LoopSettings
from training.tasks.segmentation import segmentation_loss_of


def numbered(seed: int = 0) -> Iterator[Batch]:
    """Batches that are told apart, the same ones again for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        masks = (torch.rand(4, 1, 64, 64, generator=generator) > 0.99).float()
        pixels = torch.randn(4, 1, 64, 64, generator=generator) + 4 * masks
        yield Batch(pixels, (masks, torch.ones_like(masks)), MetadataBatch.unknown((64, 64), 4))


def test_a_batch_stays_until_the_next_takes_its_place() -> None:
    held, again = HeldBatches(numbered(), "cpu"), numbered()
    places = set()
    for number in range(3):
        if number:
            held.refill()
        expected = next(again)
        for _ in range(2):
            for got, wanted in zip(held.batch().tensors, expected.tensors, strict=True):
                torch.testing.assert_close(got, wanted, rtol=0, atol=0)
        places.add(tuple(each.data_ptr() for each in held.batch().tensors))
    assert len(places) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
@pytest.mark.parametrize("name", ["kestrel_fine", "sgem_unet"])
def test_recorded_passes_train_as_others_do(name: str) -> None:
    """Not for networks with chance in them: recorded, they draw from another place of the generator."""
    ends = []
    for recorded in (False, True):
        torch.manual_seed(0)
        model = create_model(name).to("cuda")
        drawn = numbered()
        held = HeldBatches(drawn, "cuda") if recorded else None
        refill: Callable[[], None] | None = held.refill if held else None
        step = partial(loss_of, held, drawn)
        average, report = train(model, step, LoopSettings(max_steps=6, max_lr=1e-4), refill=refill)
        assert report.steps == 6
        ends.append((report.last_loss, torch.cat([buffer.flatten().float() for buffer in average.state_dict().values()])))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-3)
    torch.testing.assert_close(ends[0][1], ends[1][1], rtol=1e-2, atol=2e-3)


def loss_of(held: HeldBatches | None, drawn: Iterator[Batch], model: nn.Module) -> Tensor:
    assert isinstance(model, SegmentationModel)
    return segmentation_loss_of(model, held.batch() if held else next(drawn).to("cuda"), "soft_iou_bce")
