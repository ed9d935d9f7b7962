"""What an actor can be told, at start and at work, and what it tells of itself."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from actors.batching.recovery import RunnerFailed
from actors.detector import DetectorActor
from actors.loading import load
from actors.reply import FramePoison, Reply
from actors.segmenter import SegmenterActor
from actors.settings import BatchPolicy
from contracts.errors import SettingsError
from contracts.outputs import Detections, Segmentation
from models.interface import Task
from tests.actors.answers import MIXED, assert_same, bare, counts, play
from tests.actors.conftest import QUICK, MakeSettings
from tests.actors.fake_models import Trouble
from tests.actors.frames_for_tests import block_of_scenes, scene


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
        with pytest.raises(SettingsError, match=r"nowhere\.safetensors"):
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
        ({"flips": True}, "detection actor, flips: expected false: a mean over flips is made of masks"),
    ],
)
def test_settings_that_cannot_work_name_what_to_change(changes: dict[str, Any], text: str, settings_of: MakeSettings) -> None:
    with pytest.raises(SettingsError, match=text):
        DetectorActor(settings_of("fake_detector").model_copy(update=changes))


def test_compiled_without_a_compiler_is_said_at_start(settings_of: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SettingsError, match=r"C\+\+ compiler \(no-such-compiler\).*apt install"):
        DetectorActor(settings_of("fake_detector", compiled=True))


@pytest.mark.parametrize(("asked", "dtype"), [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_number_format_is_the_one_asked_for_and_float32_on_a_cpu(asked: str, dtype: torch.dtype, settings_of: MakeSettings) -> None:
    assert load(settings_of("fake_segmenter", dtype=asked), Task.SEGMENTATION).inference.dtype is dtype


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
    actor = SegmenterActor(settings_of("acm"), BatchPolicy(max_batch_size=1))
    play(actor, lambda: actor.run(block_of_scenes(MIXED)))
    stats = json.loads(json.dumps(actor.stats()))
    assert (stats["task"], stats["model"], stats["device"], stats["threads"]) == ("segmentation", "acm", "cpu", 1)
    assert stats["items"] == len(MIXED)
    assert stats["closed_by"]["full"] == stats["batches"] == len(MIXED)
