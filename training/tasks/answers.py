"""Answers of networks on single images, for predictions out of fold, and the figures of many of them together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.outputs import Detections
from contracts.result import CLUTTER
from evaluation.calibration import calibrate
from evaluation.classification import classification_scores, confusion_matrix
from evaluation.detection import DetectionMetrics
from evaluation.found import FoundCurve, FoundMetrics
from evaluation.segmentation import PROTOCOLS, Counts, SegmentationMetrics, count_image
from evaluation.veto import best_veto
from models.classification.base import ClassificationModel
from models.detection.base import DetectionModel
from models.inference import prepare
from models.regions import answer_of, regions_of
from models.segmentation.base import SegmentationModel
from training.data.labelled_frame import boxes_of_row, encode_rle
from training.data.samples import Sample
from training.tasks.measuring import Device, count_overlaps, detect, prepared_class_scores, probability_maps

_UNLABELLED = "ignore"
_FIGURES = ("iou", "niou", "pd", "fa_ppm", "precision", "recall", "f1")
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """Answer of a network on one image.

    Attributes:
        boxes_xyxy_px: `(n, 4)` float32, pixel edges.
        labels: n names.
        scores: `(n,)` float32.
        mask_rle: COCO compressed RLE of what a segmenter found; None of other networks.
        class_scores_NK: of a classifier; None of other networks.
        figures: counts and figures of this image, by name.
    """

    boxes_xyxy_px: Floats
    labels: tuple[str, ...]
    scores: Floats
    mask_rle: str | None = None
    class_scores_NK: Floats | None = None
    figures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


Answerer = Callable[[Sample], Answer]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """Answers that were right and wrong: for calibration, and for what a threshold trades.

    Attributes:
        scores_N: of the answers.
        hits_N: true for those that are right.
        found: share of targets found against false alarms a frame; None of classifiers, which are shown the targets.
        class_names: of a classifier.
        confusion_KK: of a classifier: counts, rows are truth; None of others.
    """

    scores_N: NDArray[np.float64]
    hits_N: NDArray[np.bool_]
    found: FoundCurve | None = None
    class_names: tuple[str, ...] = ()
    confusion_KK: NDArray[np.int64] | None = None


def found_outcomes(rows: Iterable[Mapping[str, Any]]) -> Outcomes:
    """Outcomes of found boxes: one is right where its centre is near a target (`evaluation.found`)."""
    metrics = FoundMetrics()
    for row in rows:
        found_N4, truth_N4 = boxes_of_row({"boxes": row["found_boxes"]}), boxes_of_row(row)
        ignored_N = np.array([label == _UNLABELLED for label in row["labels"]], bool)
        centres_N2 = (found_N4[:, :2] + found_N4[:, 2:]) / 2
        metrics.update(centres_N2, np.array(row["found_scores"], np.float64), truth_N4[~ignored_N], truth_N4[ignored_N])
    return Outcomes(scores_N=metrics.scores_N, hits_N=metrics.hits_N, found=metrics.compute())


def class_outcomes(rows: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> Outcomes:
    """Outcomes of named targets: one is right where the name is."""
    pairs = [
        (score, label == truth)
        for row in rows
        for truth, label, score in zip(
            [each for each in row["labels"] if each in class_names], row["found_labels"], row["found_scores"], strict=True
        )
    ]
    scores_N, hits_N = np.array([score for score, _ in pairs], np.float64), np.array([right for _, right in pairs], bool)
    confusion_KK = classification_figures(rows, class_names)[1]
    return Outcomes(scores_N=scores_N, hits_N=hits_N, class_names=tuple(class_names), confusion_KK=confusion_KK)


def segmenter_answers(network: SegmentationModel, device: Device) -> Answerer:
    """Regions at the network's threshold; findings in regions that nobody labelled count neither way."""
    model, how = prepare(network, device), network.settings

    def answer(sample: Sample) -> Answer:
        ((_, map_HW),) = probability_maps(model, [sample])
        regions = regions_of(map_HW, how.threshold, how.min_area_px, void_HW=sample.void_HW, score_map=how.score_map)
        found_HW = answer_of(map_HW, how.threshold, how.min_area_px, sample.void_HW)
        counts = {}
        if sample.has_mask:
            counted = count_image(found_HW & (sample.unknown_HW == 0), sample.mask_HW > 0, PROTOCOLS["default"])
            counts = {name: float(value) for name, value in asdict(counted).items()}
            scores = counted.scores()
            counts |= {"iou": scores.iou, "pd": scores.pd, "fa_ppm": scores.fa_ppm}
        return Answer(
            boxes_xyxy_px=regions.boxes_xyxy_px,
            labels=("target",) * len(regions),
            scores=regions.scores,
            mask_rle=encode_rle(found_HW.astype(np.uint8)),
            figures=counts,
        )

    return answer


def segmentation_figures(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Figures of many answers of a segmenter, pixels and targets accumulated over all images."""
    names = [each.name for each in fields(Counts)]
    total = Counts()
    for row in rows:
        figures = dict(row["figures"])
        if "images" in figures:
            total = total + Counts(*(figures[name] if name == "iou_sum" else int(figures[name]) for name in names))
    scores = total.scores()
    return {name: float(getattr(scores, name)) for name in _FIGURES}


def detector_answers(network: DetectionModel, device: Device) -> Answerer:
    """Boxes, also weak ones: average precision wants them."""

    def answer(sample: Sample) -> Answer:
        ((_, found),) = detect(network, [sample], device=device)
        metric = DetectionMetrics()
        count_overlaps(metric, sample, found)
        scores = metric.compute(network.settings.score_threshold)
        figures = {"ap50": scores.ap, "recall": scores.recall_at, "precision": scores.precision_at, "false": scores.false_per_image}
        return Answer(boxes_xyxy_px=found.boxes_xyxy_px, labels=("target",) * len(found), scores=found.scores, figures=figures)

    return answer


def detection_figures(rows: Iterable[Mapping[str, Any]], threshold: float) -> dict[str, float]:
    """Figures of many answers of a detector; `precision`, `recall`, `f1`, `false_per_image` at its threshold."""
    metric = DetectionMetrics()
    for row in rows:
        found, truth_N4 = boxes_of_row({"boxes": row["found_boxes"]}), boxes_of_row(row)
        ignored_N = np.array([label == _UNLABELLED for label in row["labels"]], bool)
        metric.update(Detections(found, np.array(row["found_scores"], np.float32)), truth_N4[~ignored_N], truth_N4[ignored_N])
    scores = metric.compute(threshold)
    at = {"precision": scores.precision_at, "recall": scores.recall_at, "f1": scores.f1_at, "false_per_image": scores.false_per_image}
    return {"ap50": scores.ap, **at}


def classifier_answers(network: ClassificationModel, device: Device) -> Answerer:
    """The surest class of each true box whose class the network knows; as it is configured now."""
    model = prepare(network, device)

    def answer(sample: Sample) -> Answer:
        known = [index for index, label in enumerate(sample.labels) if label in network.class_names]
        boxes_N4 = sample.boxes_xyxy_px[known]
        scores_NK = prepared_class_scores(model, [(sample, box) for box in boxes_N4])
        labels = tuple(network.class_names[index] for index in scores_NK.argmax(1).tolist())
        right = sum(sample.labels[index] == label for index, label in zip(known, labels, strict=True))
        figures = {"right": float(right), "targets": float(len(known)), "accuracy": right / len(known) if known else math.nan}
        best_N = scores_NK.max(1, initial=0.0)
        return Answer(boxes_xyxy_px=boxes_N4, labels=labels, scores=best_N, class_scores_NK=scores_NK, figures=figures)

    return answer


def classification_figures(rows: Iterable[Mapping[str, Any]], class_names: Sequence[str]) -> tuple[dict[str, float], NDArray[np.int64]]:
    """Figures of many answers of a classifier, and their confusion matrix (rows are truth)."""
    pairs = [
        (class_names.index(truth), class_names.index(label))
        for row in rows
        for truth, label in zip([each for each in row["labels"] if each in class_names], row["found_labels"], strict=True)
    ]
    both_N2 = np.array(pairs, np.int64).reshape(-1, 2)
    confusion_KK = confusion_matrix(both_N2[:, 0], both_N2[:, 1], len(class_names))
    scores = classification_scores(confusion_KK)
    names = ("macro_f1", "accuracy", "balanced_accuracy", "macro_precision", "macro_recall")
    return {name: float(getattr(scores, name)) for name in names}, confusion_KK


def classifier_figures(rows: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> dict[str, float]:
    """`classification_figures`, the calibration error (`ece`), and with a class for clutter the share of false alarms that a veto removes.

    `vetoed` is that of `evaluation.veto` where it costs at most 1 % of the targets; NaN without false alarms, targets or class scores.
    """
    figures = classification_figures(rows, class_names)[0]
    outcomes = class_outcomes(rows, class_names)
    figures["ece"] = calibrate(outcomes.scores_N.clip(0, 1), outcomes.hits_N).ece
    if CLUTTER in class_names:
        truth = [label for row in rows for label in row["labels"] if label in class_names]
        scores = [each[class_names.index(CLUTTER)] for row in rows for each in row.get("found_class_scores") or ()]
        known = len(scores) == len(truth)
        is_clutter_N = np.array([label == CLUTTER for label in truth], bool)
        figures["vetoed"] = best_veto(np.array(scores, np.float32), is_clutter_N).vetoed if known else math.nan
    return figures


def segmentation_metrics_of(
    network: SegmentationModel, samples: Iterable[Sample], thresholds: Sequence[float], device: Device
) -> dict[float, list[SegmentationMetrics]]:
    """By threshold, the metrics of each data set that has masks; one image at a time is in memory."""
    metrics: dict[tuple[float, str], SegmentationMetrics] = defaultdict(SegmentationMetrics)
    for sample, map_HW in probability_maps(prepare(network, device), (each for each in samples if each.has_mask)):
        known_HW = sample.unknown_HW == 0
        for threshold in thresholds:
            answer_HW = answer_of(map_HW, threshold, network.settings.min_area_px, sample.void_HW)
            metrics[threshold, sample.dataset].update(answer_HW & known_HW, sample.mask_HW > 0)
    return {threshold: [metric for (at, _), metric in metrics.items() if at == threshold] for threshold in thresholds}


def detection_metrics_of(network: DetectionModel, samples: Iterable[Sample], device: Device) -> dict[str, DetectionMetrics]:
    """By data set; one image at a time is in memory."""
    metrics: dict[str, DetectionMetrics] = defaultdict(DetectionMetrics)
    for sample, found in detect(network, samples, device=device):
        count_overlaps(metrics[sample.dataset], sample, found)
    return metrics
