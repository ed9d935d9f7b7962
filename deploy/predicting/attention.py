"""Attention of the classifier on the detections of a frame (`irstream explain --attention`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from actors.settings import ModelActorSettings
from contracts.errors import SettingsError
from contracts.frame import Frame
from contracts.result import Detection
from evaluation.attention_picture import attention_row
from evaluation.drawing import Picture, in_rows
from models.attention_maps import attention_maps, has_attention
from models.classification.base import ClassificationModel
from models.transforms import crop_square, normalise
from models.zoo import load_model

MOST_CROPS = 10


def attention_of_frame(frame: Frame, detections: Sequence[Detection], classifier: ModelActorSettings) -> Picture:
    """A row a detection, the best first, ten at most.

    Args:
        frame: as the stream decodes it.
        detections: of its row.
        classifier: network and weights.

    Raises:
        SettingsError: the frame has no detections, or the network no attention.
    """
    model, _ = load_model(classifier.model, classifier.weights)
    if not isinstance(model, ClassificationModel) or not has_attention(model):
        raise SettingsError(
            expected="a classifier with adaptive attention, such as aamsf or wren",
            got=classifier.model,
            where="models.classifier",
            action="Name one (docs/classifiers.md), or leave out --attention.",
        )
    best = sorted(detections, key=lambda found: -found.score)[:MOST_CROPS]
    if not best:
        raise SettingsError(expected="a frame with detections", got="none", where=str(frame.position), action="Leave out --attention.")
    boxes = [np.array([each.x_min_px, each.y_min_px, each.x_max_px, each.y_max_px], np.float32) for each in best]
    crops = np.stack([normalise(crop_square(frame.pixels_HW, box, model.crop_side_px), frame.normalisation) for box in boxes])
    scores_BK, stages = attention_maps(model, torch.from_numpy(crops)[:, None])
    rows = []
    for index, crop_HW in enumerate(crops):
        answer = int(scores_BK[index].argmax())
        of_crop = [(each.name, each.map_BHW[index], None if each.gates_BC is None else each.gates_BC[index]) for each in stages]
        rows.append(attention_row(crop_HW, f"{model.class_names[answer]} {scores_BK[index, answer]:.2f}", of_crop))
    return in_rows(rows, 1)
