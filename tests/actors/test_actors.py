"""The three actors: every frame of a block gets its own right answer, whatever it shares a batch with."""

from __future__ import annotations

import asyncio
import json
import pickle
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from actors.base import ModelActor
from actors.classifier import ClassifierActor
from actors.detector import DetectorActor
from actors.frames import FrameActor
from actors.recovery import RunnerFailed
from actors.reply import FramePoison, Reply
from actors.segmenter import SegmenterActor
from actors.settings import BatchPolicy, ModelActorSettings, TileSettings
from contracts.block import unpack_block
from contracts.errors import RetryLater, SettingsError
from contracts.frame import Band, Platform
from contracts.outputs import Classification, Detections, Segmentation
from models.interface import BANDS, PLATFORMS, MetadataBatch
from models.transforms import normalise
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from tests.actors.conftest import QUICK, MakeSettings
from tests.actors.fake_models import Trouble
from tests.actors.frames_for_tests import block_of, block_of_scenes, frame_of, scene

FRAME_ACTORS = [
    pytest.param(DetectorActor, "fake_detector", id="fake detector"),
    pytest.param(SegmenterActor, "fake_segmenter", id="fake segmenter"),
    pytest.param(DetectorActor, "fcos_light", id="fcos_light"),
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
    np.testing.assert_allclose([numbers for numbers, _ in rows_of(got)], [numbers for numbers, _ in rows_of(expected)], atol=2e-2)


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


@pytest.mark.parametrize(("kind", "name"), FRAME_ACTORS[2:])
def test_trained_weights_answer_as_the_bare_network(kind: AnyFrameActor, name: str) -> None:
    if not all((WEIGHTS_FOLDER / name).with_suffix(suffix).is_file() for suffix in (".safetensors", ".json")):
        pytest.skip(f"no trained weights of {name} in {WEIGHTS_FOLDER.name}")
    settings = ModelActorSettings(model=name, warm_up_px=(), threads=1)
    actor = kind(settings, QUICK)
    spots = [cv2.GaussianBlur(scene(128, 160, [(y, x, 5, 5)]).astype(np.float32), (7, 7), 1.5) for y, x in ((40, 50), (90, 120))]

    reply: Reply[Any] = play(actor, lambda: actor.run(block_of_scenes(spots)))

    for output, pixels_HW in zip(reply.outputs, spots, strict=True):
        assert_same(output, bare(settings, pixels_HW))
    assert sum(counts(reply)) > 0, "a bright spot is a target to any network"


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
    setattr(trouble, how, 60.0)

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


def test_the_network_is_exchanged_while_frames_flow(settings_of: MakeSettings) -> None:
    first, second = settings_of("fake_segmenter"), settings_of("fake_segmenter", seed=40)
    actor = SegmenterActor(first, BatchPolicy(max_batch_size=4, max_wait_s=0.001))
    pixels_HW = scene(64, 64, [(30, 30, 12, 12)])
    replies: list[Reply[Segmentation]] = []

    async def feed(stop: asyncio.Event) -> None:
        while not stop.is_set():
            replies.append(await actor.run(block_of_scenes([pixels_HW] * 3)))

    async def scenario() -> None:
        stop = asyncio.Event()
        feeders = [asyncio.create_task(feed(stop)) for _ in range(3)]
        while len(replies) < 5:
            await asyncio.sleep(0.001)
        await actor.reconfigure(second.model_dump())
        exchanged_at = len(replies)
        while len(replies) < exchanged_at + 8:
            await asyncio.sleep(0.001)
        stop.set()
        await asyncio.gather(*feeders)

    play(actor, scenario)

    digests = [reply.model.digest for reply in replies]
    assert len(set(digests)) == 2
    assert digests[-1] == actor.stats()["digest"] != digests[0]
    expected = {digests[0]: bare(first, pixels_HW), digests[-1]: bare(second, pixels_HW)}
    assert not np.allclose(expected[digests[0]].scores, expected[digests[-1]].scores), "the test must be able to tell them apart"
    for reply in replies:
        for output in reply.outputs:
            assert_same(output, expected[reply.model.digest])


def test_settings_that_cannot_be_loaded_leave_the_old_network_at_work(settings_of: MakeSettings) -> None:
    actor = DetectorActor(settings_of("fake_detector"), QUICK)

    async def scenario() -> Reply[Detections]:
        with pytest.raises(SettingsError):
            await actor.reconfigure({"model": "fake_detector", "weights": "nowhere.safetensors"})
        return await actor.run(block_of_scenes(MIXED))

    assert len(play(actor, scenario).outputs) == len(MIXED)


def test_a_new_policy_needs_no_new_network(settings_of: MakeSettings, trouble: Trouble) -> None:
    settings = settings_of("fake_detector")
    actor = DetectorActor(settings, QUICK)

    async def scenario() -> None:
        await actor.reconfigure(settings, BatchPolicy(max_batch_size=1))
        await actor.run(block_of_scenes([MIXED[0]] * 3))

    play(actor, scenario)
    assert trouble.batches == [1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "nothing_like_it"}, "expected a detection model: .*fcos_light.*, got 'nothing_like_it'"),
        ({"model": "acm"}, "expected a detection model"),
        ({"weights": "nowhere.safetensors"}, "no such file"),
        ({"device": "cuda:99"}, "CUDA devices torch sees, got cuda:99"),
        ({"postprocess": {"treshold": 0.5}}, "postprocess.*treshold"),
    ],
)
def test_settings_that_cannot_work_name_what_to_change(changes: dict[str, Any], text: str, settings_of: MakeSettings) -> None:
    with pytest.raises(SettingsError, match=text):
        DetectorActor(settings_of("fake_detector").model_copy(update=changes))


def test_a_threshold_of_the_card_can_be_replaced(settings_of: MakeSettings) -> None:
    actor = DetectorActor(settings_of("fake_detector", postprocess={"threshold": 1000.0}), QUICK)
    reply: Reply[Detections] = play(actor, lambda: actor.run(block_of_scenes(MIXED)))
    assert counts(reply) == [0] * len(MIXED)


def test_the_usual_shapes_are_computed_at_start_on_the_threads_asked_for(settings_of: MakeSettings, trouble: Trouble) -> None:
    actor = DetectorActor(settings_of("fake_detector", warm_up_px=((64, 64), (60, 50), (5000, 100)), threads=3), QUICK)
    sizes = {tuple(metadata.size_px_B2.tolist()[0]) for metadata in trouble.metadata}
    assert sizes == {(64, 64), (640, 112)}
    play(actor, lambda: actor.run(block_of_scenes(MIXED)))
    assert trouble.threads == {3}


def test_replies_and_errors_cross_process_borders(settings_of: MakeSettings) -> None:
    actor = SegmenterActor(settings_of("fake_segmenter"), QUICK)
    reply: Reply[Segmentation] = play(actor, lambda: actor.run(block_of_scenes(MIXED)))
    marked = Reply([*reply.outputs[:-1], FramePoison("why")], reply.model, reply.batches, reply.compute_ms, reply.wait_ms)

    copy: Reply[Segmentation] = pickle.loads(pickle.dumps(marked))

    assert copy.outputs[-1] == FramePoison("why")
    for got, expected in zip(copy.outputs[:-1], reply.outputs[:-1], strict=True):
        assert not isinstance(expected, FramePoison)
        assert_same(got, expected)
    assert (copy.model, copy.batches) == (reply.model, reply.batches)
    failed = RunnerFailed(expected="a", got="b", where="c", action="d")
    assert type(pickle.loads(pickle.dumps(failed))) is RunnerFailed
    assert str(pickle.loads(pickle.dumps(failed))) == str(failed)


def test_statistics_are_plain_values(settings_of: MakeSettings) -> None:
    actor = SegmenterActor(settings_of("acm"), QUICK)
    play(actor, lambda: actor.run(block_of_scenes(MIXED)))
    stats = json.loads(json.dumps(actor.stats()))
    assert (stats["task"], stats["model"], stats["device"], stats["threads"]) == ("segmentation", "acm", stats["device"], 1)
    assert stats["items"] == len(MIXED)
    assert stats["closed_by"]["waited"] == stats["batches"] == 3


@pytest.mark.parametrize("name", ["fake_classifier", "basic_cnn"])
def test_crops_of_all_frames_share_a_batch_and_return_to_their_frames(name: str, settings_of: MakeSettings) -> None:
    actor = ClassifierActor(settings_of(name), QUICK)
    bright, dark = [10, 10, 14, 14], [40, 40, 50, 50]
    boxes = [np.array(rows, np.float32).reshape(-1, 4) for rows in ([bright, dark], [], [dark], [], [bright, dark, bright])]
    pixels_HW = scene(64, 80, [(8, 8, 8, 8)])

    reply: Reply[Classification] = play(actor, lambda: actor.run(block_of_scenes([pixels_HW] * 5), boxes))

    outputs = [output for output in reply.outputs if isinstance(output, Classification)]
    assert [len(output) for output in outputs] == [2, 0, 1, 0, 3]
    assert len({output.class_names for output in outputs}) == 1
    np.testing.assert_allclose(outputs[0].scores[1], outputs[2].scores[0], atol=1e-5)
    np.testing.assert_allclose(outputs[4].scores[[0, 1]], outputs[0].scores, atol=1e-5)
    assert np.abs(outputs[0].scores[0] - outputs[0].scores[1]).max() > 1e-4
    np.testing.assert_allclose(np.concatenate([output.scores for output in outputs]).sum(1), 1, atol=1e-5)
    assert [info if info is None else info.size for info in reply.batches] == [6, None, 6, None, 6]
    assert reply.compute_ms[1] == reply.wait_ms[1] == 0
    if name == "fake_classifier":
        assert (outputs[4].scores.argmax(1) == [0, 1, 0]).all()


def test_frames_without_targets_cost_the_classifier_nothing(settings_of: MakeSettings, trouble: Trouble) -> None:
    actor = ClassifierActor(settings_of("fake_classifier"), QUICK)
    trouble.batches.clear()
    none = np.zeros((0, 4), np.float32)
    reply: Reply[Classification] = play(actor, lambda: actor.run(block_of_scenes(MIXED), [none] * len(MIXED)))
    assert trouble.batches == []
    assert counts(reply) == [0] * len(MIXED)


def test_boxes_that_do_not_fit_the_block_are_refused(settings_of: MakeSettings) -> None:
    actor = ClassifierActor(settings_of("fake_classifier"), QUICK)
    with pytest.raises(ValueError, match="zip"):
        play(actor, lambda: actor.run(block_of_scenes(MIXED), [np.zeros((0, 4), np.float32)]))


def test_a_poisoned_crop_marks_its_frame_only(settings_of: MakeSettings, trouble: Trouble) -> None:
    actor = ClassifierActor(settings_of("fake_classifier"), QUICK)
    poisoned = scene(64, 80)
    poisoned[20:30, 20:30] = 65535
    trouble.poison = 5.0
    boxes = np.array([[50, 50, 60, 60]], np.float32)
    on_poison = np.array([[50, 50, 60, 60], [22, 22, 28, 28]], np.float32)
    reply: Reply[Classification] = play(
        actor, lambda: actor.run(block_of_scenes([scene(64, 80), poisoned, scene(64, 80)]), [boxes, on_poison, boxes])
    )
    assert [isinstance(output, FramePoison) for output in reply.outputs] == [False, True, False]
