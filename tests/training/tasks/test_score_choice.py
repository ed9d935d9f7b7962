"""The map of scores is chosen on held-out images, as they are and changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.cli.main import main
from models.card import read_card
from models.segmentation.base import SegmentationModel
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from training.data.samples import Role, read_samples
from training.tasks import score_choice
from training.tasks.score_choice import choose_score_map

pytestmark = [pytest.mark.usefixtures("made_data"), pytest.mark.slow]


def acm() -> SegmentationModel:
    network, _ = load_model("acm")
    assert isinstance(network, SegmentationModel)
    return network


def test_the_regions_of_images_and_of_changed_ones_are_what_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    monkeypatch.setattr(score_choice, "fit_score_map", lambda scores, hits: seen.append((scores, hits)))
    told: list[tuple[int, int]] = []
    network = acm()
    kept = choose_score_map(network, ("sirst-v2", "irstd-1k"), report=lambda done, of: told.append((done, of)))
    num = len(read_samples(("sirst-v2", "irstd-1k"), Role.SELECT))
    assert told == [(number, num) for number in range(1, num + 1)]
    assert kept == network.settings.score_map, "with too few regions it stays"
    (scores_N, hits_N), *rest = seen
    assert not rest
    assert len(scores_N) == len(hits_N) > num, "more regions than images"
    assert hits_N.any()


def test_targets_go_along_with_what_moves_them() -> None:
    sample = next(each for each in read_samples(("sirst-v2", "irstd-1k"), Role.SELECT) if each.mask_HW.any())
    shapes = set()
    for number in range(120):  # the change is drawn by the name
        (given,) = score_choice._changed(replace(sample, image_id=f"{number}"))  # not to be seen from outside
        targets_N4 = given.boxes_xyxy_px[~given.ignored_N]
        assert len(targets_N4) == len(sample.boxes_xyxy_px), given.pixels_HW.shape
        for x, y in (targets_N4[:, :2] + targets_N4[:, 2:]) / 2:
            assert given.pixels_HW[int(y), int(x)] > np.median(given.pixels_HW) + 20, "made targets are bright"
        shapes.add((given.pixels_HW.shape, given.bit_depth))
    assert len(shapes) > 3, "some changes crop, resample or need more bits"


def test_the_command_writes_a_map_into_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("safetensors", "json"):
        shutil.copy(WEIGHTS_FOLDER / f"acm.{suffix}", tmp_path)
    weights = tmp_path / "acm.safetensors"
    before = read_card(weights.with_suffix(".json"))
    with pytest.raises(SystemExit) as ended:
        main(["models", "calibrate", "acm", "--weights", str(weights)])
    assert ended.value.code in (0, None), capsys.readouterr().err
    assert capsys.readouterr().out.startswith("acm: score = sigmoid(")
    after = read_card(weights.with_suffix(".json"))
    assert after.postprocess.keys() == before.postprocess.keys() | {"score_slope", "score_offset"}
    assert after.model_copy(update={"postprocess": before.postprocess}) == before, "nothing else changes"
    assert load_model("acm", weights)[0].settings.score_slope == after.postprocess["score_slope"]  # type: ignore[union-attr]


def test_a_detector_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["models", "calibrate", "fcos_light"])
    assert ended.value.code == 2
    assert "expected a segmenter, got detection network fcos_light" in capsys.readouterr().err
