"""The frame actors: every frame of a block gets its own right answer, whatever it shares a batch with."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from actors.batching.recovery import RunnerFailed
from actors.detector import DetectorActor
from actors.reply import FramePoison, Reply
from actors.segmenter import SegmenterActor
from actors.settings import BatchPolicy, ModelActorSettings, TileSettings
from contracts.block import unpack_block
from contracts.errors import RetryLater
from contracts.frame import Band, Platform
from contracts.outputs import Segmentation
from models.interface import BANDS, PLATFORMS, Task
from models.zoo import list_models
from tests.actors.answers import FAKE_FRAME_ACTORS, FRAME_ACTORS, MIXED, AnyFrameActor, assert_same, bare, counts, play
from tests.actors.conftest import PLAIN, QUICK, MakeSettings
from tests.actors.fake_models import Trouble
from tests.actors.frames_for_tests import block_of, block_of_scenes, frame_of, scene


@pytest.mark.parametrize(("kind", "name"), FRAME_ACTORS)
def test_every_frame_gets_the_answer_of_the_bare_network(kind: AnyFrameActor, name: str, settings_of: MakeSettings) -> None:
    settings = settings_of(name)
    actor = kind(settings, QUICK)

    reply: Reply[Any] = play(actor, lambda: actor.run(block_of_scenes(MIXED)))

    assert len(reply.outputs) == len(MIXED)
    for output, pixels_HW in zip(reply.outputs, MIXED, strict=True):
        assert_same(output, bare(settings, pixels_HW))
    assert reply.model.name == name
    assert reply.model.task == kind.task
    assert len(reply.model.digest) == 64
    assert [info.size for info in reply.batches if info is not None] == [3, 1, 3, 1, 3], "frames of one shape share a batch"
    assert all(ms > 0 for ms in reply.compute_ms)
    assert all(ms >= 0 for ms in reply.wait_ms)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models(Task.SEGMENTATION) if not name.startswith("sgem_unet_")])
def test_every_segmenter_serves_frames_of_any_size(name: str, settings_of: MakeSettings) -> None:
    settings = settings_of(name)
    actor = SegmenterActor(settings, QUICK)
    reply: Reply[Segmentation] = play(actor, lambda: actor.run(block_of_scenes(MIXED[:2])))
    for output, pixels_HW in zip(reply.outputs, MIXED, strict=False):
        assert_same(output, bare(settings, pixels_HW))


def test_flips_answer_for_the_mean_of_four(settings_of: MakeSettings) -> None:
    """The fake network answers pixel by pixel, so the mean of its four answers turned back is its answer."""
    settings = settings_of("fake_segmenter", flips=True)
    actor = SegmenterActor(settings, QUICK)
    reply: Reply[Segmentation] = play(actor, lambda: actor.run(block_of_scenes(MIXED)))
    for output, pixels_HW in zip(reply.outputs, MIXED, strict=True):
        assert_same(output, bare(settings, pixels_HW))
    assert actor.loaded.inference.flips


def bright_spots() -> list[NDArray[np.float32]]:
    """Two frames with a blurred spot each."""
    places = ((40, 50), (90, 120))
    return [np.asarray(cv2.GaussianBlur(scene(128, 160, [(y, x, 5, 5)]).astype(np.float32), (7, 7), 1.5)) for y, x in places]


@pytest.mark.parametrize(("kind", "name"), FRAME_ACTORS[2:])
def test_trained_weights_answer_as_the_bare_network(kind: AnyFrameActor, name: str) -> None:
    settings = ModelActorSettings.model_validate({"model": name} | PLAIN)
    actor = kind(settings, QUICK)
    spots = bright_spots()

    reply: Reply[Any] = play(actor, lambda: actor.run(block_of_scenes(spots)))

    for output, pixels_HW in zip(reply.outputs, spots, strict=True):
        assert_same(output, bare(settings, pixels_HW))
    assert sum(counts(reply)) > 0, "a bright spot is a target to any network"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), FRAME_ACTORS[2:])
def test_bfloat16_finds_the_same_targets(kind: AnyFrameActor, name: str) -> None:
    found = {}
    for dtype in ("float32", "bfloat16"):
        actor = kind(ModelActorSettings.model_validate({"model": name} | PLAIN | {"dtype": dtype}), QUICK)
        found[dtype] = play(actor, lambda actor=actor: actor.run(block_of_scenes(bright_spots())))  # type: ignore[misc]  # bound at once
    for plain, half in zip(found["float32"].outputs, found["bfloat16"].outputs, strict=True):
        best = [int(np.argmax(output.scores)) for output in (plain, half)]
        np.testing.assert_allclose(half.boxes_xyxy_px[best[1]], plain.boxes_xyxy_px[best[0]], atol=2.0)
        assert half.scores[best[1]] == pytest.approx(plain.scores[best[0]], abs=0.1)


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
def test_blocks_share_batches_and_keep_their_own_answers(
    kind: AnyFrameActor, name: str, settings_of: MakeSettings, trouble: Trouble
) -> None:
    actor = kind(settings_of(name), BatchPolicy(max_batch_size=6, max_wait_s=5))
    blocks = [[scene(64, 64, [(4 * one, 8 * two, 2, 2)]) for two in range(3)] for one in range(1, 5)]

    async def scenario() -> list[Reply[Any]]:
        return await asyncio.gather(*(actor.run(block_of_scenes(block)) for block in blocks))

    replies = play(actor, scenario)

    assert trouble.batches == [6, 6], "four blocks of three frames"
    for one, reply in enumerate(replies, start=1):
        for two, output in enumerate(reply.outputs):
            assert output.boxes_xyxy_px.tolist() == [[8 * two, 4 * one, 8 * two + 2, 4 * one + 2]]


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
def test_frames_stay_untouched_and_torch_has_nothing_to_warn_of(kind: AnyFrameActor, name: str, settings_of: MakeSettings) -> None:
    block = block_of_scenes(MIXED)
    assert not unpack_block(block).frames[0].pixels_HW.flags.writeable
    actor = kind(settings_of(name), QUICK)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play(actor, lambda: actor.run(block))

    for frame, pixels_HW in zip(unpack_block(block).frames, MIXED, strict=True):
        np.testing.assert_array_equal(frame.pixels_HW, pixels_HW)


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
def test_a_tiled_frame_gets_the_answer_of_the_whole_frame(
    kind: AnyFrameActor, name: str, settings_of: MakeSettings, trouble: Trouble
) -> None:
    tiles = TileSettings(whole_frame_max_px=96, side_px=64, overlap_px=16)
    pixels_HW = scene(150, 200, [(1, 1, 3, 3), (53, 40, 9, 2), (60, 57, 4, 14), (100, 100, 12, 12), (147, 197, 3, 3), (20, 88, 2, 70)])
    settings = settings_of(name, tiles=tiles)
    actor = kind(settings, BatchPolicy(max_batch_size=5, max_wait_s=0.01))

    reply: Reply[Any] = play(actor, lambda: actor.run(block_of_scenes([MIXED[0], pixels_HW, MIXED[2]])))

    assert_same(reply.outputs[1], bare(settings, pixels_HW))
    assert_same(reply.outputs[0], bare(settings, MIXED[0]))
    assert counts(reply)[1] == 6
    assert sum(trouble.batches) - 2 > 12, "it was really cut"
    assert reply.compute_ms[1] > 0


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
@pytest.mark.parametrize("how", ["poison", "not_a_number"])
def test_a_poisoned_frame_costs_only_itself(kind: AnyFrameActor, name: str, how: str, settings_of: MakeSettings, trouble: Trouble) -> None:
    settings = settings_of(name)
    actor = kind(settings, QUICK)
    poisoned = scene(64, 80)
    poisoned[5, 5] = 65535
    setattr(trouble, how, 400.0)

    reply: Reply[Any] = play(actor, lambda: actor.run(block_of_scenes([MIXED[0], poisoned, *MIXED[1:]])))

    assert isinstance(reply.outputs[1], FramePoison)
    assert ("poison" if how == "poison" else "NaN") in reply.outputs[1].detail
    for output, pixels_HW in zip([reply.outputs[0], *reply.outputs[2:]], MIXED, strict=True):
        assert not isinstance(output, FramePoison)
        assert len(output) == len(bare(settings, pixels_HW))


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
def test_out_of_memory_is_survived(kind: AnyFrameActor, name: str, settings_of: MakeSettings, trouble: Trouble) -> None:
    actor = kind(settings_of(name), BatchPolicy(max_batch_size=8, max_wait_s=5))
    trouble.capacity = 3

    reply: Reply[Any] = play(actor, lambda: actor.run(block_of_scenes([scene(64, 64, [(30, 30, 2, 2)])] * 8)))

    assert counts(reply) == [1] * 8
    assert actor.stats()["out_of_memory"] == 3


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
def test_a_sick_network_fails_the_block_and_the_health_check(
    kind: AnyFrameActor, name: str, settings_of: MakeSettings, trouble: Trouble
) -> None:
    actor = kind(settings_of(name), QUICK)

    async def scenario() -> None:
        await actor.check_health()
        trouble.sick = True
        with pytest.raises(RunnerFailed, match="device lost"):
            await actor.run(block_of_scenes(MIXED))
        with pytest.raises(RetryLater, match="device lost"):
            await actor.check_health()

    play(actor, scenario)


def test_platform_band_and_size_reach_the_network(settings_of: MakeSettings, trouble: Trouble) -> None:
    frames = [
        frame_of(scene(40, 50), 0, Platform.AIR, Band.MWIR),
        frame_of(scene(40, 50), 1, Platform.SPACE, Band.LWIR),
    ]
    actor = DetectorActor(settings_of("fake_detector"), QUICK)

    play(actor, lambda: actor.run(block_of(frames)))

    (metadata,) = trouble.metadata
    assert metadata.platform_B.tolist() == [PLATFORMS.index(Platform.AIR), PLATFORMS.index(Platform.SPACE)]
    assert metadata.band_B.tolist() == [BANDS.index(Band.MWIR), BANDS.index(Band.LWIR)]
    assert metadata.size_px_B2.tolist() == [[40, 50]] * 2


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
def test_a_block_without_frames_is_answered_with_nothing(
    kind: AnyFrameActor, name: str, settings_of: MakeSettings, trouble: Trouble
) -> None:
    actor = kind(settings_of(name), QUICK)
    reply: Reply[Any] = play(actor, lambda: actor.run(block_of([])))
    assert (reply.outputs, reply.batches, reply.compute_ms, reply.wait_ms) == ([], [], [], [])
    assert trouble.batches == []


def test_closing_finishes_what_waits(settings_of: MakeSettings) -> None:
    actor = DetectorActor(settings_of("fake_detector"), BatchPolicy(max_batch_size=100, max_wait_s=60, deadline_s=None))

    async def scenario() -> Reply[Any]:
        waiting = asyncio.create_task(actor.run(block_of_scenes(MIXED)))
        while actor.stats()["held_items"] < len(MIXED):
            await asyncio.sleep(0.001)
        await actor.close()
        return await asyncio.wait_for(waiting, 120)

    assert counts(asyncio.run(scenario())) == [1, 2, 0, 1, 1]


@pytest.mark.parametrize(("kind", "name"), FAKE_FRAME_ACTORS)
@pytest.mark.parametrize("tiles", [None, TileSettings(side_px=64, overlap_px=32)], ids=["whole", "tiled"])
def test_what_lies_in_void_pixels_is_not_answered(
    kind: AnyFrameActor, name: str, tiles: TileSettings | None, settings_of: MakeSettings
) -> None:
    """Filled pixels have an edge, which a network may take for something."""
    bright = scene(96, 112, [(10, 10, 3, 3), (70, 90, 3, 3)])
    void_HW = np.zeros(bright.shape, bool)
    void_HW[:20] = True
    frames = [replace(frame_of(bright, 0), void_HW=void_HW), frame_of(bright, 1)]
    actor = kind(settings_of(name, **({} if tiles is None else {"tiles": tiles})), QUICK)
    reply: Reply[Any] = play(actor, lambda: actor.run(block_of(frames)))
    shown, every = ([] if isinstance(output, FramePoison) else output.boxes_xyxy_px[:, 1].tolist() for output in reply.outputs)
    assert min(every) < 20
    assert sorted(shown) == sorted(top for top in every if top > 20) != []
