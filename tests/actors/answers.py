"""What the tests of all actors share: which actors, which frames, how to run them, how to compare what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
import torch

from actors.detector import DetectorActor
from actors.frame_actor import FrameActor
from actors.model_actor import ModelActor
from actors.reply import FramePoison, Reply
from actors.segmenter import SegmenterActor
from contracts.outputs import Classification, Detections, Segmentation
from models.interface import MetadataBatch
from models.transforms import normalise
from models.zoo import load_model
from tests.actors.frames_for_tests import frame_of, scene

FRAME_ACTORS = [
    pytest.param(DetectorActor, "fake_detector", id="fake detector"),
    pytest.param(SegmenterActor, "fake_segmenter", id="fake segmenter"),
    pytest.param(DetectorActor, "fcos_light", id="fcos_light"),
    pytest.param(SegmenterActor, "kestrel_adaptive", id="kestrel_adaptive"),
    pytest.param(SegmenterActor, "kestrel", id="kestrel"),
    pytest.param(SegmenterActor, "acm", id="acm"),
    pytest.param(SegmenterActor, "unet_light", id="unet_light"),
]
FAKE_FRAME_ACTORS = FRAME_ACTORS[:2]
MIXED = [
    scene(64, 80, [(10, 10, 3, 3)]),
    scene(50, 61, [(20, 30, 2, 4), (40, 8, 3, 3)], dtype="uint8", seed=1),
    scene(64, 80, seed=2),
    scene(96, 64, [(90, 60, 4, 4)], dtype="float32", seed=3),
    scene(64, 80, [(0, 0, 2, 2)], seed=4),
]
AnyFrameActor = type[FrameActor[Any, Any]]
Output = Detections | Segmentation | Classification


def play(actor: ModelActor[Any, Any], scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a scenario against an actor, then close it."""

    async def main() -> Any:
        try:
            return await scenario()
        finally:
            await actor.close()

    return asyncio.run(main())


def rows_of(output: Output) -> list[tuple[list[float], str]]:
    """Numbers and mask of every target; in an order that equal scores do not disturb, except for crops, whose order counts."""
    columns: list[Any] = [output.scores] if isinstance(output, Classification) else [output.boxes_xyxy_px, output.scores[:, None]]
    numbers = np.concatenate(columns, axis=-1).tolist()
    masks = output.mask_rles if isinstance(output, Segmentation) else [""] * len(numbers)
    rows = list(zip(numbers, masks, strict=True))
    return rows if isinstance(output, Classification) else sorted(rows)


def assert_same(got: Output | FramePoison, expected: Output) -> None:
    assert not isinstance(got, FramePoison)
    assert type(got) is type(expected)
    assert [mask for _, mask in rows_of(got)] == [mask for _, mask in rows_of(expected)]
    np.testing.assert_allclose([numbers for numbers, _ in rows_of(got)], [numbers for numbers, _ in rows_of(expected)], atol=1e-2)
    np.testing.assert_allclose(np.sort(got.scores, axis=0), np.sort(expected.scores, axis=0), atol=1e-3)


def counts(reply: Reply[Any]) -> list[int]:
    """How many targets each frame has; -1 for poison."""
    return [-1 if isinstance(output, FramePoison) else len(output) for output in reply.outputs]


def bare(settings: Any, pixels_HW: Any) -> Any:
    """What the network says about one frame, without actor, batch, folding or tiles."""
    network, _ = load_model(settings.model, settings.weights)
    multiple = network.input_spec.size_multiple_px
    height_px, width_px = pixels_HW.shape
    padded = np.zeros((-(-height_px // multiple) * multiple, -(-width_px // multiple) * multiple), np.float32)
    padded[:height_px, :width_px] = normalise(pixels_HW, frame_of(pixels_HW).normalisation)
    with torch.inference_mode():
        raw = network(torch.from_numpy(padded)[None, None], MetadataBatch.unknown((height_px, width_px)))
        return network.postprocess(raw, [(height_px, width_px)])[0]
