"""Models that cannot be had are named by their cards; a network somebody registered is never refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import SettingsError
from deploy.run import check_start
from deploy.settings.app_settings import AppSettings, settings_from_args
from deploy.settings.model_check import label_mistakes, model_mistakes
from models.card import read_card, write_card
from models.weights import WEIGHTS_FOLDER
from models.zoo import list_models, list_trained


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def told(role: str, **model: Any) -> list[str]:
    return [str(mistake) for mistake in model_mistakes(settings_from_args({"models": {role: model}}).models)]


def own_weights(folder: Path, name: str = "acm", **changes: Any) -> str:
    """A copy of shipped weights under another file name; the card may be changed."""
    shutil.copy(WEIGHTS_FOLDER / f"{name}.safetensors", folder / "own.safetensors")
    card = json.loads((WEIGHTS_FOLDER / f"{name}.json").read_text())
    (folder / "own.json").write_text(json.dumps(card | changes))
    return str(folder / "own.safetensors")


@pytest.mark.parametrize(("role", "task"), [("detector", "detection"), ("segmenter", "segmentation"), ("classifier", "classification")])
def test_every_registered_network_with_weights_passes(role: str, task: str) -> None:
    names = list_models(task)
    untold = [name for name in names if told(role, model=name) == []]
    assert untold == [name for name in names if name in list_trained()] != []
    for name in set(names) - set(untold):
        (mistake,) = told(role, model=name)
        assert f"expected a safetensors file with trained weights, got {name}, which has none" in mistake


def test_a_name_that_is_none_or_of_another_task_is_named() -> None:
    (unknown,) = told("detector", model="nope")
    assert unknown.startswith("settings: models.detector.model: expected a detection model: ")
    assert "fcos_light" in unknown
    assert "got 'nope'" in unknown
    (other_task,) = told("detector", model="acm")
    assert "got 'acm'" in other_task


def test_weights_are_a_file_with_a_card_of_this_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = own_weights(tmp_path)
    assert told("segmenter", model="acm", weights=weights) == []
    (of_another,) = told("segmenter", model="unet_light", weights=weights)
    assert "expected weights of unet_light (segmentation), got those of acm (segmentation)" in of_another
    (tmp_path / "own.json").unlink()
    assert "own.json" in told("segmenter", model="acm", weights=weights)[0]

    (missing,) = told("segmenter", weights="/nope")
    assert missing.startswith("settings: models.segmenter.weights: expected a safetensors file with trained weights, got no such file")
    assert told("segmenter", weights=str(tmp_path)) != [], "a folder is no file"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert told("segmenter", weights="/nope") == [], "the nodes of the cluster may have it"


def test_postprocessing_the_network_does_not_know_is_named(tmp_path: Path) -> None:
    assert told("segmenter", postprocess={"threshold": 0.4}) == []
    (unknown,) = told("segmenter", postprocess={"treshold": 0.4})
    known = "expected a value that kestrel_wide knows (threshold, min_area_px, score_slope, score_offset), got an unknown one"
    assert f"models.segmenter.postprocess.treshold: {known}" in unknown
    # A network may know more than its card says.
    weights = own_weights(tmp_path, "kestrel_wide", postprocess={"threshold": 0.5})
    assert told("segmenter", weights=weights, postprocess={"min_area_px": 3}) == []


def test_postprocessing_values_out_of_range_are_named_with_what_the_card_has() -> None:
    (high,) = told("detector", postprocess={"score_threshold": 1.7})
    assert high == (
        "settings: models.detector.postprocess.score_threshold: expected a value less than 1, got 1.7. "
        "Leave it out: the model card's is 0.41."
    )
    low, part = told("segmenter", postprocess={"threshold": 0, "min_area_px": 2.5})
    assert "models.segmenter.postprocess.threshold: expected a value greater than 0, got 0.0" in low
    assert "models.segmenter.postprocess.min_area_px: expected a whole number, got 2.5" in part
    assert told("detector", postprocess={"score_threshold": 0.7, "nms_iou": 0.5}) == []


def test_a_start_is_refused_before_anything_is_asked_of_kafka(tmp_path: Path) -> None:
    kafka = {"bootstrap_servers": "127.0.0.1:1", "connect_timeout_s": 1.0}
    settings = settings_from_args({"kafka": kafka, "sink": {"table": str(tmp_path)}, "models": {"segmenter": {"weights": "/nope"}}})
    with pytest.raises(SettingsError, match=r"models\.segmenter\.weights"):
        check_start(settings)


def check(cwd: Path, *arguments: str, after: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    code = f"""
import sys
from deploy.cli.main import main
try:
    main(["config", "check", *sys.argv[1:]])
finally:
    {after or "pass"}
"""
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=cwd, env=variables, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_config_check_names_the_place_and_needs_no_torch_for_what_is_right(tmp_path: Path) -> None:
    right = check(tmp_path, after="assert 'torch' not in sys.modules")
    assert right.returncode == 0, right.stderr
    wrong = check(tmp_path, IRSTREAM_MODELS__DETECTOR__MODEL="nope", IRSTREAM_MODELS__SEGMENTER__WEIGHTS="/nope")
    assert wrong.returncode == 2
    assert [line.split(": expected")[0] for line in wrong.stderr.splitlines()] == [
        "error: IRSTREAM_MODELS__DETECTOR__MODEL: models.detector.model",
        "IRSTREAM_MODELS__SEGMENTER__WEIGHTS: models.segmenter.weights",
    ]


def test_a_veto_wants_a_classifier_that_knows_clutter(tmp_path: Path) -> None:
    settings = AppSettings.model_validate({"stream": {"clutter_veto": 0.9}})
    (mistake,) = label_mistakes(settings)
    assert (mistake.key, mistake.got) == ("stream.clutter_veto", "0.9")
    assert mistake.expected.startswith("a classifier with a class clutter: basic_cnn gives person, car")
    card = read_card(WEIGHTS_FOLDER / "basic_cnn.json")
    write_card(card.model_copy(update={"classes": (*card.classes, "clutter")}), tmp_path / "own.json")
    own = {"models": {"classifier": {"model": "basic_cnn", "weights": str(tmp_path / "own.safetensors")}}, "stream": {"clutter_veto": 0.9}}
    assert label_mistakes(AppSettings.model_validate(own)) == []
    (hidden,) = label_mistakes(AppSettings.model_validate(own | {"alerts": {"hidden_labels": ["clutter"]}}))
    assert hidden.key == "alerts.hidden_labels", "no detection ever has that label"


def test_labels_of_filters_are_labels_that_the_classifier_gives(tmp_path: Path) -> None:
    shown = {"alerts": {"shown_labels": ["drone", "target"]}, "sensors": {"a": {"alerts": {"hidden_labels": ["brid"]}}}}
    (mistake,) = label_mistakes(settings_from_args(shown))
    assert str(mistake).startswith("settings: sensors.a.alerts.hidden_labels: expected labels that basic_cnn gives (person, car, ")
    assert str(mistake).endswith("or target, got 'brid'. Did you mean 'bird'?")
    own = {"weights": own_weights(tmp_path, "basic_cnn", classes=["brid", "drone"])}
    assert label_mistakes(settings_from_args(shown | {"models": {"classifier": own}})) == []
    with pytest.raises(SettingsError, match="Did you mean 'bird'"):
        check_start(settings_from_args(shown))
