"""Every task draws what any network of it says, and says how its figures are measured again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.errors import SettingsError
from evaluation.drawing import FOUND, TRUTH
from models.zoo import AnyModel, create_model
from tests.training.toy_networks import TOYS
from training.recipes import default_task

FINDS_MUCH = {"toy_segmenter": {"threshold": 0.01}, "toy_detector": {"score_threshold": 0.01}}
"""Settings with which an untrained one answers; classifiers answer in words."""


def toy(name: str) -> AnyModel:
    """A network that finds something everywhere."""
    torch.manual_seed(0)
    network = create_model(name)
    network.eval()
    network.configure(FINDS_MUCH.get(name, {}))
    return network


@pytest.mark.usefixtures("made_data")
@pytest.mark.parametrize("name", TOYS)
def test_a_network_that_only_its_module_knows_is_drawn(name: str) -> None:
    network = toy(name)
    picture = default_task(network).picture(network)
    assert picture.dtype == np.uint8
    assert picture.shape[0] % 320 == picture.shape[1] % 320 == 0
    for colour in (TRUTH, FOUND):
        assert (picture == colour).all(2).any() == (name in FINDS_MUCH), colour


@pytest.mark.parametrize("name", TOYS)
def test_without_images_nothing_is_drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("irstd-1k", "hit-uav", "drone-ir"):
        (tmp_path / each).mkdir()
        (tmp_path / each / "index.jsonl").touch()
    monkeypatch.setenv("IRSTREAM_DATA", str(tmp_path))
    network = toy(name)
    with pytest.raises(SettingsError, match="expected test images with targets, to draw on, got none"):
        default_task(network).picture(network)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("toy_segmenter", "irstream evaluate 'my run/w.safetensors' 'my images'"),
        ("toy_detector", "irstream models measure toy_detector --weights 'my run/w.safetensors' --data 'my images' --data hit-uav"),
        ("toy_classifier", "irstream models measure toy_classifier --weights 'my run/w.safetensors' --data 'my images' --data hit-uav"),
    ],
)
def test_figures_are_measured_again_by_a_command_of_their_task(name: str, command: str) -> None:
    task = default_task(create_model(name), ("my images", "hit-uav"))
    assert task.measured_by(name, Path("my run/w.safetensors"), "my images") == command
