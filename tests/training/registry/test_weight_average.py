"""The mean of two trainings: its weights, its card, and what cannot be averaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from contracts.errors import SettingsError
from deploy.cli.main import main
from models.card import read_card, write_card
from models.zoo import load_model
from training.registry.weight_average import weight_average

pytestmark = [pytest.mark.usefixtures("made_data"), pytest.mark.slow]


def trained(name: str, folder: Path, *options: str) -> Path:
    with pytest.raises(SystemExit) as ended:
        main(["train", name, "--crop-px", "32", "--batch-size", "4", *options, "--out", str(folder), "--json"])
    assert not ended.value.code
    return folder


@pytest.fixture(scope="module")
def first_run(made_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that tests copy, change and go on from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRSTREAM_DATA", str(made_root))
        return trained("acm", tmp_path_factory.mktemp("runs") / "one", "--data", "nudt-sirst", "--epochs", "1")


def floats(network: nn.Module) -> torch.Tensor:
    return torch.cat([each.flatten() for each in network.parameters()])


def test_weights_lie_in_the_middle_and_the_card_tells_both(first_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = shutil.copytree(first_run, tmp_path / "one")
    other = trained("acm", tmp_path / "other", "--data", "nudt-sirst", "--epochs", "1", "--start", str(one), "--ema", "0")
    capsys.readouterr()
    of_a_gpu = read_card(one / "weights.json")
    recipe = {key: value for key, value in of_a_gpu.recipe.items() if key != "processor_minutes"} | {"minutes": 9.3}
    write_card(of_a_gpu.model_copy(update={"recipe": recipe}), one / "weights.json")
    with pytest.raises(SystemExit) as ended:
        main(["models", "average", str(one), str(other), "--out", str(tmp_path / "mean")])
    assert not ended.value.code
    assert capsys.readouterr().out.startswith("nudt-sirst test (2 images): iou ")
    first, second, mean = (load_model("acm", tmp_path / name / "weights.safetensors") for name in ("one", "other", "mean"))
    assert float((floats(first[0]) - floats(second[0])).abs().max()) > 1e-3
    torch.testing.assert_close(floats(mean[0]), (floats(first[0]) + floats(second[0])) / 2, atol=1e-3, rtol=2e-3)
    norms = [{name: each for name, each in network.named_buffers() if "running_" in name} for network, _ in (first, second, mean)]
    between = {name: (norms[0][name] + norms[1][name]) / 2 for name in norms[0]}
    assert any(not torch.allclose(norms[2][name], between[name], rtol=0.05) for name in between), "statistics are taken anew"
    card = mean[1]
    assert card.recipe["steps"] == sum(int(str(each[1].recipe["steps"])) for each in (first, second))
    assert all(each[1].digest[:12] in str(card.recipe["details"]) for each in (first, second))
    assert (card.recipe["minutes"], card.recipe["processor_minutes"]) == (9.3, second[1].recipe["processor_minutes"])
    assert read_card(tmp_path / "mean" / "weights.json") == card
    assert card.data == first[1].data
    assert card.measured[0].data == "nudt-sirst test (2 images)"


def test_trainings_of_other_networks_or_data_are_refused(first_run: Path, tmp_path: Path) -> None:
    one = shutil.copytree(first_run, tmp_path / "one")
    others = (
        trained("acm", tmp_path / "data", "--data", "sirst-v2", "--epochs", "0.1"),
        trained("kestrel_light", tmp_path / "network", "--data", "nudt-sirst", "--epochs", "0.1"),
    )
    for runs in ([one, others[0]], [one, others[1]], [one]):
        with pytest.raises(SettingsError, match="two or more trainings of one network"):
            weight_average(runs, tmp_path / "out")
    (one / "checkpoint.pt").unlink()
    with pytest.raises(SettingsError, match=r"checkpoint\.pt: expected a checkpoint"):
        weight_average([one, one], tmp_path / "out")
    assert not (tmp_path / "out").exists()
