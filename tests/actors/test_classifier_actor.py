"""The classifier: crops of all frames share batches and return to their frames."""

from __future__ import annotations

import numpy as np
import pytest

from actors.classifier import ClassifierActor
from actors.reply import FramePoison, Reply
from contracts.outputs import Classification
from tests.actors.answers import MIXED, counts, play
from tests.actors.conftest import QUICK, MakeSettings
from tests.actors.fake_models import Trouble
from tests.actors.frames_for_tests import block_of_scenes, scene


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
