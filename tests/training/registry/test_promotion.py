"""The gate before production, and the commands that change what is in it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deploy.cli.main import main
from deploy.settings.app_settings import settings_from_args
from deploy.settings.production import in_production
from models.card import read_card, write_card
from models.weights import WEIGHTS_FOLDER, save_weights
from models.zoo import create_model
from training.data.importing import import_set
from training.data.reading import Defaults
from training.registry.gate import PromotionGate
from training.registry.promotion import judged

GATE = PromotionGate()


def rows(num: int = 24, a_scene: int = 2, cameras: int = 2) -> list[dict[str, Any]]:
    return [
        {"dataset": "made", "group_id": f"scene{at // a_scene}", "platform": "air" if at % cameras else "land", "band": "lwir"}
        for at in range(num)
    ]


def scores(gain: float, on_land: float = 0.0, noise: float = 0.02) -> tuple[list[float], list[float]]:
    rng, made = np.random.default_rng(1), rows()
    before = rng.uniform(0.4, 0.6, len(made))
    after = before + gain + rng.normal(0, noise, len(made)) + [on_land * (row["platform"] == "land") for row in made]
    return before.tolist(), after.tolist()


@pytest.mark.parametrize(
    ("pair", "gate", "reason"),
    [
        pytest.param(scores(0.1), GATE, None, id="better"),
        pytest.param(scores(-0.1), GATE, "expected a gain of more than 0", id="worse"),
        pytest.param(scores(0.0, noise=0.2), GATE, "paired t-test", id="by chance"),
        pytest.param(scores(0.1), PromotionGate(min_gain=0.2), "expected a gain of at least 0.2", id="too little"),
        pytest.param(scores(0.2, on_land=-0.3), GATE, "no camera to lose more than 0.02", id="a camera loses"),
        pytest.param(scores(0.1), PromotionGate(min_scenes=13), "expected at least 13 scenes", id="too few scenes"),
        pytest.param((scores(0.1)[0], [math.nan] * 24), GATE, "expected at least 5 scenes", id="nothing to count"),
    ],
)
def test_the_gate_lets_through_what_is_better_and_says_why_not(
    pair: tuple[list[float], list[float]], gate: PromotionGate, reason: str | None
) -> None:
    decision = judged(rows(), *pair, gate)
    assert decision.accepted == (reason is None)
    if reason is not None:
        assert any(reason in each for each in decision.reasons)
    assert json.loads(json.dumps(decision.plain(), allow_nan=False))["accepted"] == decision.accepted


def test_many_images_of_few_scenes_prove_little() -> None:
    before, after = scores(0.05, noise=0.2)
    one_scene = [row | {"group_id": f"scene{at % 5}"} for at, row in enumerate(rows(24))]
    assert judged(one_scene, before, after, GATE).test.num == 5
    assert judged(rows(24, 1), before, after, GATE).test.num == 24


def weights_of(folder: Path, change: float) -> Path:
    """`acm` as it ships, with noise; at a large one it knows nothing."""
    torch.manual_seed(0)
    network = create_model("acm")
    from models.weights import load_weights

    load_weights(network, WEIGHTS_FOLDER / "acm.safetensors")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(change * torch.randn_like(parameter))
    folder.mkdir()
    digest = save_weights(network, folder / "weights.safetensors")
    write_card(read_card(WEIGHTS_FOLDER / "acm.json").model_copy(update={"digest": digest, "data": "others (x)"}), folder / "weights.json")
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["models", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.slow
@pytest.mark.usefixtures("made_data")
def test_a_better_network_is_promoted_a_worse_one_refused_and_a_rollback_returns(
    tmp_path: Path, made_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.loads(line) | {"split": None} for line in (made_root / "nudt-sirst" / "index.jsonl").read_text().splitlines()]
    for name in ("images", "masks"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).symlink_to(made_root / "nudt-sirst" / name)
    (tmp_path / "set" / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_set("index", tmp_path / "set", tmp_path / "held", Defaults(dataset="held", licence="ours"))
    noisy, good = weights_of(tmp_path / "noisy", 0.5), weights_of(tmp_path / "good", 0.0)
    registry = tmp_path / "registry"
    monkeypatch.setenv("IRSTREAM_REGISTRY__FOLDER", str(registry))
    monkeypatch.setenv("IRSTREAM_MODELS__SEGMENTER__MODEL", "acm")
    monkeypatch.setenv("IRSTREAM_MODELS__SEGMENTER__WEIGHTS", str(noisy / "weights.safetensors"))
    options = ("--for", "segmenter", "--data", str(tmp_path / "held"), "--json")
    assert run("promote", str(good), *options) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["accepted"], told["images"], told["scenes"]) == (True, 26, 26)
    assert told["difference"] > 0.2
    settings = in_production(settings_from_args({}))
    assert read_card(Path(str(settings.models.segmenter.weights)).with_suffix(".json")).digest == told["candidate"]
    assert run("promote", str(noisy), *options) == 1
    refused = json.loads(capsys.readouterr().out)
    assert "expected a gain of more than 0" in refused["reasons"][0]
    assert run("promote", str(good), *options) == 2, "it is in production"
    assert run("list", "--versions", "--json") == 0
    listed = {each["role"]: each for each in json.loads(capsys.readouterr().out)}
    assert [version["in_production"] for version in listed["segmenter"]["versions"]] == [True]
    assert run("rollback", "--for", "segmenter", "--why", "odd alerts") == 0
    assert "the network of the settings in production again" in capsys.readouterr().out
    assert in_production(settings_from_args({})).models.segmenter.weights == str(noisy / "weights.safetensors")
    assert run("show", "segmenter") == 0
    history = capsys.readouterr().out
    assert [history.count(word) for word in ("promoted: ", "refused: ", "rolled back: ", "odd alerts")] == [1, 1, 1, 1]
    assert run("rollback", "--for", "segmenter") == 2


def test_images_that_a_network_learnt_from_are_no_held_out_ones(tmp_path: Path, made_root: Path) -> None:
    import_set("nudt", made_root / "nudt-sirst", tmp_path / "held", Defaults(dataset="nudt-sirst", licence="ours"))
    from models.zoo import load_model
    from training.registry.promotion import Contender, held_out_rows

    model, card = load_model("acm")
    contender = Contender(model=model, card=card, named="acm")
    (names,) = held_out_rows([tmp_path / "held"], [contender]).values()
    assert names == {"test0", "test1"}
