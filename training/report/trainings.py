"""The trainings below a folder: how far each is, and what it gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.distributed.cross_validation import RUN_FILE
from training.tracking import tracked_as

_LOG, _CARD, _REPORT = "log.jsonl", "weights.json", "report.json"
_MOST_FIGURES = 3


def list_trainings(folder: Path) -> list[dict[str, Any]]:
    """Of each training, in folds or not, by name.

    Returns:
        `run` (folder), `model` (of one that is not done and in no folds the name of the folder), `folds` (their hash; None: no folds),
        `folds_done`, `steps` (so far, of one without folds), `done`, `figures` (means over folds, or of the first set it was measured
        on), `mlflow` (`uri`, `experiment`, `run_id`; None: not tracked).
    """
    found = []
    for path in sorted(each for each in folder.glob("*") if each.is_dir()):
        if (path / RUN_FILE).is_file():
            found.append(_in_folds(path) | _tracked(path))
        elif (path / _LOG).is_file() or (path / _CARD).is_file():
            found.append(_alone(path) | _tracked(path))
    return found


def _in_folds(path: Path) -> dict[str, Any]:
    identity = json.loads((path / RUN_FILE).read_bytes())["identity"]
    done, report = len(list(path.glob("fold-*.parquet"))), path / _REPORT
    figures: Mapping[str, Any] = {}
    if report.is_file():
        read = json.loads(report.read_bytes())
        figures = {read["headline"]: read["figures"][read["headline"]]["mean"]}
    return {
        "run": str(path),
        "model": identity["model"],
        "folds": identity["folds"],
        "folds_done": done,
        "steps": None,
        "done": report.is_file(),
        "figures": figures,
    }


def _alone(path: Path) -> dict[str, Any]:
    card, log = path / _CARD, path / _LOG
    read = json.loads(card.read_bytes()) if card.is_file() else {}
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    measured = read.get("measured") or [{"values": {}}]
    return {
        "run": str(path),
        "model": read.get("name", path.name),
        "folds": None,
        "folds_done": None,
        "steps": json.loads(lines[-1])["steps"] if lines else read.get("recipe", {}).get("steps"),
        "done": card.is_file(),
        "figures": dict(list(measured[0]["values"].items())[:_MOST_FIGURES]),
    }


def _tracked(path: Path) -> dict[str, Any]:
    known = tracked_as(str(path))
    return {"mlflow": known and {"uri": known["uri"], "experiment": known["experiment"], "run_id": known["runs"].get("")}}
