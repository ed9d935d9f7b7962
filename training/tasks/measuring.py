"""Measure a network on labelled images exactly as the stream would run it, and choose its thresholds.

Thresholds come from images of role `select`; images of role `test` only measure.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.outputs import Detections
from evaluation.classification import classification_scores, confusion_matrix
from evaluation.detection import DetectionMetrics
from evaluation.segmentation import SegmentationMetrics
from models.card import FIGURE_DIGITS, Measurement
from models.classification.base import ClassificationModel
from models.classification.basic_cnn import CLASS_NAMES
from models.detection.base import DetectionModel
from models.devices import fastest_dtype
from models.inference import InferenceModel, prepare
from models.interface import MetadataBatch
from models.regions import answer_of
from models.segmentation.base import SegmentationModel
from models.transforms import padded_size
from training.data.catalogue import BOX_SETS, KNOWN_SETS, SEGMENTATION_SETS, SYNTHETIC
from training.data.samples import Role, Sample, read_samples
from training.tasks.classification import targets_of

_CANDIDATE_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96)
# Average precision wants weak detections too.
_LOWEST_SCORE = 0.05
_FIGURES = ("iou", "niou", "pd", "fa_ppm", "precision", "recall", "f1")
_CROPS_A_BATCH = 64
DATASET = "DATASET"
_MASK_SETS = (*SEGMENTATION_SETS, SYNTHETIC)
_CLASS_TEST_SETS = ("hit-uav", "drone-ir")
_SPLIT_NAMES = {
    "drone-ir": {Role.TEST: "val clips", Role.SELECT: "held-out train clips"},
    SYNTHETIC: {Role.TEST: "unseen scenes", Role.SELECT: "held-out scenes"},
}
Counts = Callable[[int, int], None]
"""Gets the number of images done, and of all."""
NAMED_FROM_SCORE = 0.5
"""A class that scores less is no name: the stream's default (`stream.label_min_score`)."""


def count_silently(done: int, of: int) -> None:
    """Tell nobody."""


def run_frame(model: InferenceModel, pixels_HW: NDArray[np.float32]) -> Any:
    """Raw output for one whole normalised image, padded at the right and bottom with its mean as in the stream."""
    height_px, width_px = pixels_HW.shape
    padded = np.zeros((1, 1, *padded_size(height_px, width_px, model.model.input_spec.size_multiple_px)), np.float32)
    padded[0, 0, :height_px, :width_px] = pixels_HW
    return model.forward(torch.from_numpy(padded), MetadataBatch.unknown((height_px, width_px)))


def probability_maps(model: InferenceModel, samples: Sequence[Sample]) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
    """Each image with its probability map `(H, W)`."""
    network = model.model
    assert isinstance(network, SegmentationModel)
    for sample in samples:
        height_px, width_px = sample.pixels_HW.shape
        yield sample, network.probabilities(run_frame(model, sample.normalised()))[0, :height_px, :width_px].cpu().numpy()


def mask_sets(sets: Sequence[str] | None = None) -> tuple[str, ...]:
    """Those of some data sets that have masks, and folders of one's own; None for all known ones that have masks."""
    own = [name for name in sets or () if name not in KNOWN_SETS]
    return (*(name for name in _MASK_SETS if sets is None or name in sets), *own)


def choose_segmentation_threshold(
    network: SegmentationModel, sets: Sequence[str] | None = None, *, device: str = "cpu", tell: Counts = count_silently
) -> dict[str, float]:
    """The threshold with the best mean over the data sets of IoU plus nIoU on `select` images; without any, the one it has."""
    metrics = _segmentation_metrics(network, Role.SELECT, _CANDIDATE_THRESHOLDS, mask_sets(sets), device, tell)
    quality = {
        threshold: overlap([metric for (_, at), metric in metrics.items() if at == threshold]) for threshold in _CANDIDATE_THRESHOLDS
    }
    if math.isnan(quality[_CANDIDATE_THRESHOLDS[0]]):
        why = "no held-out images with targets" if metrics else "no held-out images with masks"
        print(f"threshold stays {network.settings.threshold:g}: {why} (split val)", file=sys.stderr)
        return dict(network.settings.model_dump())
    return network.settings.model_dump() | {"threshold": max(quality, key=lambda threshold: quality[threshold])}


def overlap(metrics: Iterable[SegmentationMetrics]) -> float:
    """What chooses: the mean over data sets that have targets of the mean of IoU and nIoU; NaN where none has any."""
    scores = [scores for metric in metrics if (scores := metric.compute()).num_targets]
    return sum((each.iou + each.niou) / 2 for each in scores) / len(scores) if scores else math.nan


def measure_segmentation(
    network: SegmentationModel,
    role: Role,
    command: str,
    sets: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    tell: Counts = count_silently,
) -> list[Measurement]:
    """Overlap, detection and error rates of each data set, at the network's threshold; `DATASET` in the command becomes its name.

    In float32; the IoU also in bfloat16, where this device is faster with it.
    """
    formats = [torch.float32] + [torch.bfloat16] * (fastest_dtype(device) is torch.bfloat16)
    threshold, names = network.settings.threshold, mask_sets(sets)
    plain, *half = (
        _segmentation_metrics(network, role, (threshold,), names, device, partial(_part, tell, number, len(formats)), dtype)
        for number, dtype in enumerate(formats)
    )
    measured = []
    for name, _ in plain:
        scores = plain[name, threshold].compute()
        values = {figure: float(getattr(scores, figure)) for figure in _FIGURES} | {"targets": float(scores.num_targets)}
        if half:
            values["iou_bfloat16"] = half[0][name, threshold].compute().iou
        measured.append(_measurement(name, role, scores.num_images, command.replace(DATASET, name), values))
    return measured


def _part(tell: Counts, number: int, parts: int, done: int, of: int) -> None:
    """Tell of one of several equal parts."""
    tell(done + number * of, parts * of)


def _segmentation_metrics(
    network: SegmentationModel,
    role: Role,
    thresholds: Sequence[float],
    sets: Sequence[str],
    device: str,
    tell: Counts,
    dtype: torch.dtype = torch.float32,
) -> dict[tuple[str, float], SegmentationMetrics]:
    """By data set that has masks, and threshold; what is found where nobody knows counts neither way."""
    samples = read_samples(sets, role)
    masked = {sample.dataset for sample in samples if sample.mask_path is not None}
    metrics = {(name, threshold): SegmentationMetrics() for name in sets if name in masked for threshold in thresholds}
    samples = [sample for sample in samples if sample.dataset in masked]
    for number, (sample, map_HW) in enumerate(probability_maps(prepare(network, device, dtype), samples), start=1):
        known_HW = sample.unknown_HW == 0
        for threshold in thresholds:
            answer_HW = answer_of(map_HW, threshold, network.settings.min_area_px)
            metrics[sample.dataset, threshold].update(answer_HW & known_HW, sample.mask_HW > 0)
        tell(number, len(samples))
    return metrics


def detect(network: DetectionModel, samples: Sequence[Sample], lowest_score: float = _LOWEST_SCORE) -> Iterator[tuple[Sample, Detections]]:
    """Each image with its boxes, also weak ones."""
    model = prepare(network)
    assert isinstance(model.model, DetectionModel)
    model.model.configure(network.settings.model_dump() | {"score_threshold": lowest_score})
    for sample in samples:
        yield sample, model.model.postprocess(run_frame(model, sample.normalised()), [sample.pixels_HW.shape])[0]


def boxes_of(sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """True boxes and ignored regions of an image."""
    return sample.boxes_xyxy_px[~sample.ignored_N], sample.boxes_xyxy_px[sample.ignored_N]


def choose_score_threshold(network: DetectionModel) -> dict[str, float]:
    """The mean over the data sets of the threshold with the best F1 on `select` images."""
    metrics = _detection_metrics(network, Role.SELECT)
    thresholds = [metric.best_threshold() for metric in metrics.values()]
    return network.settings.model_dump() | {"score_threshold": round(float(np.mean(thresholds)), 2)}


def measure_detection(network: DetectionModel, role: Role, command: str) -> list[Measurement]:
    """AP50, recall, and precision and recall at the network's threshold, of each data set."""
    measured = []
    for name, metric in _detection_metrics(network, role).items():
        scores = metric.compute(network.settings.score_threshold)
        values = {key: float(value) for key, value in dataclasses.asdict(scores).items() if not key.startswith("num_")}
        values = {"ap50": values.pop("ap"), **values, "targets": scores.num_targets}
        measured.append(_measurement(name, role, scores.num_images, command, values))
    return measured


def _detection_metrics(network: DetectionModel, role: Role) -> dict[str, DetectionMetrics]:
    samples = read_samples((*BOX_SETS, SYNTHETIC), role)
    metrics = {sample.dataset: DetectionMetrics() for sample in samples}
    for sample, found in detect(network, samples):
        metrics[sample.dataset].update(found, *boxes_of(sample))
    return metrics


def classify(network: ClassificationModel, samples: Sequence[Sample]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and answered class of every target that has one, cropped around its true box."""
    targets = targets_of(samples)
    scores_NK = class_scores(network, [(sample, box) for sample, box, _ in targets])
    return np.array([label for _, _, label in targets], np.int64), scores_NK.argmax(1).astype(np.int64)


def class_scores(network: ClassificationModel, targets: Sequence[tuple[Sample, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Scores `(N, K)` of N boxes in their images."""
    model, side_px = prepare(network), network.input_spec.fixed_size_px
    assert side_px is not None
    scores = []
    for start in range(0, len(targets), _CROPS_A_BATCH):
        part = targets[start : start + _CROPS_A_BATCH]
        crops = [sample.crop_of(box, side_px) for sample, box in part]
        logits = model.forward(torch.from_numpy(np.stack(crops)[:, None]), MetadataBatch.unknown((side_px, side_px), len(part)))
        assert isinstance(logits, torch.Tensor)
        scores.append(logits.float().softmax(1).numpy())
    return np.concatenate(scores) if scores else np.zeros((0, len(CLASS_NAMES)), np.float32)


def measure_classification(network: ClassificationModel, role: Role, command: str) -> list[Measurement]:
    """Accuracy, macro-F1 and confusion matrix, of each data set and of both real ones together; then what gets no name."""
    measured = []
    for names in (*((name,) for name in _CLASS_TEST_SETS), _CLASS_TEST_SETS, (SYNTHETIC,)):
        samples = read_samples(names, role)
        scores = classification_scores(confusion_matrix(*classify(network, samples), len(CLASS_NAMES)))
        values = {
            "accuracy": scores.accuracy,
            "macro_precision": scores.macro_precision,
            "macro_recall": scores.macro_recall,
            "macro_f1": scores.macro_f1,
        }
        values |= {f"f1_{name}": float(f1) for name, f1 in zip(CLASS_NAMES, scores.f1_K, strict=True)}
        measurement = _measurement(" + ".join(names), role, len(samples), command, values)
        measured.append(measurement.model_copy(update={"confusion": scores.confusion_KK.tolist()}))
    for name in SEGMENTATION_SETS:
        samples = read_samples((name,), role)
        best_N = class_scores(network, [(sample, box) for sample in samples for box in sample.boxes_xyxy_px]).max(1)
        values = {"left_unnamed": float((best_N < NAMED_FROM_SCORE).mean()), "targets": len(best_N)}
        measured.append(_measurement(name, role, len(samples), command, values))
    return measured


def _measurement(dataset: str, role: Role, num_images: int, command: str, values: dict[str, float]) -> Measurement:
    split = _SPLIT_NAMES.get(dataset, {}).get(role, str(role))
    finite = {name: round(float(value), FIGURE_DIGITS) for name, value in values.items() if math.isfinite(value)}
    return Measurement(data=f"{dataset} {split} ({num_images} images)", command=command, values=finite)
