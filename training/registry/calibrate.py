"""Scores of weights that are there: their map chosen on held-out images again, and written into their card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.card import write_card
from models.scores import ScoreMap
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from training.tasks.measuring import Report, no_report
from training.tasks.score_choice import choose_score_map


def calibrate_scores(
    name: str, weights: Path | None = None, sets: Sequence[str] | None = None, *, device: str = "cpu", report: Report = no_report
) -> ScoreMap:
    """Choose the map of a segmenter's scores and write it into its card; thresholds and figures stay.

    Args:
        name: registered name.
        weights: safetensors file with its card beside it; None for those that ship.
        sets: data sets whose held-out images count; None for all known ones with masks.
        device: where to compute.
        report: gets the number of images done, and of all.

    Raises:
        SettingsError: no such network, weights or data, or no segmenter.
    """
    model, card = load_model(name, weights)
    scores = choose_score_map(model, sets or None, device=device, report=report)
    chosen = {"score_slope": round(scores.slope, 4), "score_offset": round(scores.offset, 4)}
    file = (weights or WEIGHTS_FOLDER / f"{name}.safetensors").with_suffix(".json")
    write_card(card.model_copy(update={"postprocess": card.postprocess | chosen}), file)
    return ScoreMap(chosen["score_slope"], chosen["score_offset"])
