"""Findings get the labels of the targets they lie on; what lies on none is clutter."""

from __future__ import annotations

import numpy as np
import pytest

from models.classification.classes import CLASS_NAMES, CLASSES_AND_CLUTTER
from tests.training.test_overfit import made_images
from training.data.findings import label_findings
from training.tasks.classification import UNNAMED, ClassificationBatches, ClassificationRecipe

TRUTH = {"car": (10, 10, 30, 20), "person": (50, 50, 54, 56), "ignore": (80, 80, 100, 100), "bird": (10, 80, 14, 84)}


def boxes(*each: tuple[float, ...]) -> np.ndarray:
    return np.array(each, np.float32).reshape(-1, 4)


@pytest.mark.parametrize("with_missed", [True, False])
def test_each_finding_is_a_target_clutter_or_nothing(with_missed: bool) -> None:
    found = {
        (11, 9, 31, 21): 0.6,  # on the car, but another one is surer
        (9, 10, 29, 20): 0.8,
        (54.5, 50, 59.5, 56): 0.5,  # 5 px beside the middle of the person: as far as it reaches
        (82, 82, 85, 85): 0.9,  # where nobody labelled
        (33, 10, 37, 14): 0.9,  # 3 px beside the car: maybe a part of it
        (60, 20, 64, 24): 0.7,  # apart from all
    }
    scores = np.array(list(found.values()), np.float32)
    labelled = label_findings(boxes(*found), scores, boxes(*TRUTH.values()), list(TRUTH), with_missed=with_missed)
    said = dict(zip(map(tuple, labelled.boxes_xyxy_px.tolist()), zip(labelled.labels, labelled.origins, strict=True), strict=True))
    expected = {
        (9, 10, 29, 20): ("car", "found"),
        (54.5, 50, 59.5, 56): ("person", "found"),
        (60, 20, 64, 24): ("clutter", "false alarm"),
        TRUTH["ignore"]: ("ignore", "ignored"),
    }
    assert said == expected | ({TRUTH["bird"]: ("bird", "missed")} if with_missed else {})
    assert labelled.dropped == 3
    assert labelled.counts["found"] == 2


def test_frames_without_truth_or_findings() -> None:
    nothing = boxes()
    assert label_findings(boxes((1, 1, 4, 4)), np.ones(1, np.float32), nothing, []).labels == ("clutter",)
    assert label_findings(nothing, np.ones(0, np.float32), boxes((1, 1, 4, 4)), ["car"]).origins == ("missed",)
    assert label_findings(nothing, np.ones(0, np.float32), nothing, []).boxes_xyxy_px.shape == (0, 4)


@pytest.mark.parametrize(("names", "label"), [(CLASSES_AND_CLUTTER, 8), (CLASS_NAMES, UNNAMED)], ids=["with the class", "without"])
def test_background_teaches_clutter_where_a_network_has_the_class(names: tuple[str, ...], label: int) -> None:
    recipe = ClassificationRecipe(batch_size=40, unnamed_share=1.0, background_share=1.0)
    (labels,) = next(ClassificationBatches(made_images(4, "hit-uav"), recipe, names, 16).batches()).targets
    assert set(labels.tolist()) == {label}
