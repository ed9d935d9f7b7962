"""What `irstream evaluate` shows of networks that found something and of one that found nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploy.terminal.evaluation_view import evaluation_json, print_evaluation, remarks
from evaluation.curves import PixelCurves
from evaluation.results import Cost, ImageRow, ModelResult
from evaluation.segmentation import Counts
from evaluation.segmentation_protocols import Protocol
from tests.deploy.terminal.screens import screen
from training.report.evaluate import EvaluationPlan

COUNTS = Counts(30, 40, 35, 4_096, 3, 1, 2, 1, 3, 1.5, 2)
NONE = np.zeros(0)


def measured(name: str, counts: Counts, area: float) -> ModelResult:
    return ModelResult(
        name=name,
        digest="0" * 64,
        threshold=0.25,
        protocol=Protocol(),
        cost=Cost(parameters=397_823, gmacs=1.2345, input_px=256, latency_ms=12.34, best_ms=11.0, device="cpu"),
        rows=tuple(ImageRow(f"image-{index}", counts, ()) for index in range(2)),
        curves=PixelCurves(NONE, NONE, NONE, NONE, NONE, area, area),
        sweep=(),
    )


RESULTS = [measured("acm", COUNTS, 0.98765), measured("un[bold]et", Counts(total_px=4_096, images=1), math.nan)]
SHOWN = """\
2 test images of [made] data
                     acm                 un[bold]et
IoU %                75.00 [75.0, 75.0]  -
nIoU %               75.00 [75.0, 75.0]  -
Pd %                 50.00 [50.0, 50.0]  -
Fa 1e-6              732.4 [732, 732]    0.0 [0, 0]
F1 %                 85.71               -
precision %          85.71               -
recall %             85.71               -
ROC area %           98.765              -
average precision %  98.77               -
threshold            0.25                0.25
parameters           397,823             397,823
GMACs at 256 px      1.234               1.234
ms, median           12.3                12.3"""


def test_figures_stand_in_a_column_for_each_network_and_unknown_ones_are_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    print_evaluation("2 test images of [made] data", RESULTS)
    assert screen(capsys) == SHOWN


def test_only_what_is_unusual_is_remarked() -> None:
    assert remarks(EvaluationPlan()) == ""
    told = remarks(EvaluationPlan(protocol="dnanet", threshold=0.5, flips=True))
    assert told == "; protocol dnanet; mean over four flips; threshold 0.5 instead of the card's"


def test_programs_get_differences_to_the_first_network() -> None:
    told = evaluation_json([RESULTS[0], measured("other", COUNTS, 0.5)], EvaluationPlan(threshold=0.5))
    assert (told["protocol"], told["flips"], told["threshold_from"]) == ("default", False, "--threshold")
    first, other = told["models"]
    assert first["difference"] is None
    assert {name: each["value"] for name, each in other["difference"].items()} == dict.fromkeys(("iou", "niou", "pd", "fa"), 0.0)
