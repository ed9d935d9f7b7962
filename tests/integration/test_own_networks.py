"""A network of each task that nobody but its module knows: named, trained, measured, and served in a stream."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from models.own_networks import VARIABLE
from tests.conftest import ADDRESS_VARIABLE, RealKafka
from tests.training.made_sets import write_made_sets

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(1500)]
ROOT = Path(__file__).resolve().parents[2]
# Several commands in one process: each start reads torch again.
COMMANDS = """
import json, sys
from deploy.cli.main import main
for words in json.loads(sys.argv[1]):
    try:
        main([*words, "--json"])
    except SystemExit as ended:
        if ended.code:
            raise
"""
TOYS = {"detector": "toy_detector", "segmenter": "toy_segmenter", "classifier": "toy_classifier"}
TASKS = {"detector": "detection", "segmenter": "segmentation", "classifier": "classification"}
DATA = {"detector": "sirst-v2", "segmenter": "sirst-v2", "classifier": "hit-uav"}


def run(*commands: list[str], cwd: Path, env: dict[str, str]) -> list[Any]:
    """The JSON each command prints; they must succeed."""
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(each) for each in re.split(r"\n(?=[{\[])", done.stdout)]


def test_three_networks_of_ones_own_go_from_their_module_into_the_stream(
    kafka: RealKafka, tmp_path: Path, joining_local_ray: dict[str, str]
) -> None:
    (tmp_path / "sets").mkdir()
    write_made_sets(tmp_path / "sets")
    env = {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")} | {
        **joining_local_ray,
        "PYTHONPATH": str(ROOT),
        VARIABLE: "tests.training.toy_networks",
        "IRSTREAM_DATA": str(tmp_path / "sets"),
        ADDRESS_VARIABLE: kafka.bootstrap_servers,
        "IRSTREAM_KAFKA__TOPIC": kafka.new_topic(1),
        "IRSTREAM_KAFKA__ALERTS_TOPIC": kafka.new_topic(1),
        "IRSTREAM_KAFKA__DEAD_LETTER_TOPIC": kafka.new_topic(1),
    }
    commands = []
    for part, name in TOYS.items():
        data, weights = ["--data", DATA[part]], f"{name}/weights.safetensors"
        commands.append(["train", name, "--task", TASKS[part], *data, "--batch-size", "4", "--epochs", "1", "--out", name])
        commands.append(["models", "measure", name, "--weights", str(tmp_path / weights), *data])
        env |= {f"IRSTREAM_MODELS__{part.upper()}__MODEL": name, f"IRSTREAM_MODELS__{part.upper()}__WEIGHTS": str(tmp_path / weights)}
    told = run(*commands, cwd=tmp_path, env=env)
    cards = {part: trained["card"] for part, trained in zip(TOYS, told[::2], strict=True)}
    for (part, card), measured in zip(cards.items(), told[1::2], strict=True):
        assert card["measured"][0]["data"].startswith(DATA[part])
        assert measured[0] == {"data": card["measured"][0]["data"]} | card["measured"][0]["values"]
    # A toy that has learnt a few steps is sure of little: any score is a target here.
    env["IRSTREAM_MODELS__DETECTOR__POSTPROCESS"] = json.dumps({"score_threshold": 0.01})
    publish = ["publish", "synthetic", "--sensors", "1", "--limit", "6", "--fps", "0"]
    published, summary = run(publish, ["stream", "--until-caught-up"], cwd=tmp_path, env=env)
    assert published["acked"] == 6
    assert summary["progress"]["frames_out"] == 6
    rows = DeltaTable(str(tmp_path / "runs" / "results")).to_pyarrow_table().to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 6
    digests = {TASKS[part]: (TOYS[part], card["digest"]) for part, card in cards.items()}
    for row in rows:
        assert {model["task"]: (model["name"], model["digest"]) for model in row["models"]} == digests
        for detection in row["detections"]:
            assert {name for name, _ in detection["class_scores"]} == {"car", "person", "drone"}
    assert any(row["detections"] for row in rows)
