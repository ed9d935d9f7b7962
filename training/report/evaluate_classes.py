"""Evaluate classifiers on labelled boxes as the stream would crop them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.errors import SettingsError
from evaluation.attention_picture import attention_row
from evaluation.class_results import ClassifierResult
from evaluation.drawing import Picture, coloured, draw_words, enlarged, in_rows, stretched
from evaluation.results import Cost
from models.attention_maps import attention_maps, has_attention
from models.classification.base import ClassificationModel
from models.cost import gmacs, latencies_ms, num_parameters
from models.inference import prepare
from training.data.samples import Sample
from training.report.evaluate import device_name
from training.tasks.measuring import Report, class_scores, no_report, targets_of

Floats = NDArray[np.float32]
_ROUNDS = 20
_ATTENDED = 10
_WORST, _TILE_PX = 12, 240


def evaluate_classifier(
    network: ClassificationModel,
    label: str,
    digest: str,
    samples: Sequence[Sample],
    cost: Cost,
    device: str = "cpu",
    report: Report = no_report,
) -> ClassifierResult:
    """Run a classifier over all boxes whose class it knows.

    Args:
        network: with its weights.
        label: how it is called in tables.
        digest: of its weights.
        samples: labelled images.
        cost: of the network (`class_costs`).
        device: where to compute.
        report: gets the number of crops done and of all.

    Raises:
        SettingsError: no box is of a class that it knows.
    """
    targets = targets_of(samples, network.class_names)
    if not targets:
        there = sorted({each for sample in samples for each in sample.labels})
        raise SettingsError(
            expected=f"boxes of classes that {label} knows ({', '.join(network.class_names)})",
            got=", ".join(there) or "no box",
            where="data set to evaluate on",
            action="Name a data set whose boxes have classes (docs/datasets.md).",
        )
    scores_NK = class_scores(network, [(sample, box) for sample, box, _ in targets], device=device, report=report)
    true_N = np.array([truth for _, _, truth in targets], np.int64)
    wrong_N = np.flatnonzero(scores_NK.argmax(1) != true_N)
    worst = sorted(wrong_N.tolist(), key=lambda index: -float(scores_NK[index].max()))[:_WORST]
    return ClassifierResult(
        name=label,
        digest=digest,
        class_names=network.class_names,
        cost=cost,
        image_ids=tuple(f"{sample.dataset} {sample.image_id}" for sample, _, _ in targets),
        boxes_N4=np.stack([box for _, box, _ in targets]),
        true_N=true_N,
        scores_NK=scores_NK,
        attention=_attention(network, targets, scores_NK) if has_attention(network) else None,
        worst=tuple(_shown(network, targets[index], scores_NK[index]) for index in worst),
    )


def _attention(network: ClassificationModel, targets: Sequence[tuple[Sample, NDArray[np.float32], int]], scores_NK: Floats) -> Picture:
    """Crops from all over the data set, rare classes first, each with its maps and gates."""
    true_N = np.array([truth for _, _, truth in targets])
    order = sorted(range(len(targets)), key=lambda index: (int((true_N[:index] == true_N[index]).sum()), int(true_N[index])))[:_ATTENDED]
    crops = [targets[index][0].crop_of(targets[index][1], network.crop_side_px) for index in order]
    device = next(network.parameters()).device
    _, stages = attention_maps(network.eval(), torch.from_numpy(np.stack(crops)[:, None]).to(device))
    rows = []
    for place, index in enumerate(order):
        answer = int(scores_NK[index].argmax())
        words = f"{network.class_names[true_N[index]]}: {network.class_names[answer]} {scores_NK[index, answer]:.2f}"
        of_crop = [(each.name, each.map_BHW[place], None if each.gates_BC is None else each.gates_BC[place]) for each in stages]
        rows.append(attention_row(crops[place], words, of_crop))
    return in_rows(rows, 1)


def _shown(
    network: ClassificationModel, target: tuple[Sample, NDArray[np.float32], int], scores_K: NDArray[np.float32]
) -> tuple[str, Picture]:
    sample, box, truth = target
    answer = int(scores_K.argmax())
    picture = enlarged(coloured(stretched(sample.crop_of(box, network.crop_side_px))), _TILE_PX)
    words = f"{network.class_names[truth]}: said {network.class_names[answer]} {scores_K[answer]:.2f}"
    sides = box[2:] - box[:2]
    return f"{sample.image_id}, {words}, {sides[0]:.0f} x {sides[1]:.0f} px", draw_words(picture, words)


def class_costs(networks: Sequence[ClassificationModel], device: str = "cpu") -> list[Cost]:
    """Size, multiply-adds and milliseconds of one crop; networks of one crop side are timed in turns."""
    models = [prepare(network, device) for network in networks]
    times: dict[int, list[float]] = {}
    for side_px in {network.crop_side_px for network in networks}:
        mine = [index for index, network in enumerate(networks) if network.crop_side_px == side_px]
        times |= dict(zip(mine, latencies_ms([models[index] for index in mine], side_px, rounds=_ROUNDS), strict=True))
    return [
        Cost(
            parameters=num_parameters(network),
            gmacs=gmacs(network, network.crop_side_px),
            input_px=network.crop_side_px,
            latency_ms=float(np.median(times[index])),
            best_ms=times[index][0],
            device=device_name(torch.device(device)),
        )
        for index, network in enumerate(networks)
    ]
