"""Measure a network on labelled images exactly as the stream would run it, and choose its thresholds.

Thresholds come from images of role `select`; images of role `test` only measure. Every image comes with its platform, band and size.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.outputs import Detections
from evaluation.classification import ClassificationScores, classification_scores, confusion_matrix
from evaluation.detection import DetectionMetrics
from evaluation.detection_figures import DetectionFigures
from evaluation.segmentation import SegmentationMetrics
from evaluation.temperature import fit_temperature
from models.card import FIGURE_DIGITS, Measurement
from models.classification.base import ClassificationModel
from models.detection.base import DetectionModel
from models.devices import fastest_dtype
from models.inference import InferenceModel, prepare
from models.interface import MetadataBatch
from models.regions import answer_of, boxes_shown
from models.segmentation.base import SegmentationModel
from models.transforms import padded_size
from training.data.batches import metadata_of
from training.data.catalogue import BOX_SETS, KNOWN_SETS, MASK_SETS, SYNTHETIC, UNSEEN_SETS
from training.data.samples import Role, Sample, read_samples

CANDIDATE_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96)
"""Thresholds of a segmenter that held-out images choose from."""
_VALIDATION_THRESHOLD = 0.5
# Average precision wants weak detections too.
_LOWEST_SCORE = 0.05
_FIGURES = ("iou", "niou", "pd", "fa_ppm", "precision", "recall", "f1")
_CROPS_A_BATCH = 64
DATASET = "DATASET"
_SPLIT_NAMES = {
    "drone-ir": {Role.TEST: "val clips", Role.SELECT: "held-out train clips"},
    SYNTHETIC: {Role.TEST: "unseen scenes", Role.SELECT: "held-out scenes"},
} | {name: {Role.TEST: "unseen"} for name in UNSEEN_SETS}
Report = Callable[[int, int], None]
"""Gets the number of images done, and of all."""
Device = torch.device | str
NAMED_FROM_SCORE = 0.5
"""A class that scores less is no name: the stream's default (`stream.label_min_score`)."""


def no_report(done: int, of: int) -> None:
    """Shows nothing."""


def run_frame(model: InferenceModel, pixels_HW: NDArray[np.float32], metadata: MetadataBatch | None = None) -> Tensor | tuple[Tensor, ...]:
    """Raw output for one whole normalised image, padded at the right and bottom with its mean as in the stream.

    Args:
        model: prepared.
        pixels_HW: normalised.
        metadata: of the image; None: platform and band unknown.
    """
    height_px, width_px = pixels_HW.shape
    padded = np.zeros((1, 1, *padded_size(height_px, width_px, model.model.input_spec.size_multiple_px)), np.float32)
    padded[0, 0, :height_px, :width_px] = pixels_HW
    known = MetadataBatch.unknown((height_px, width_px)) if metadata is None else metadata
    return model.forward(torch.from_numpy(padded), known)


def probability_maps(model: InferenceModel, samples: Iterable[Sample]) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
    """Each image with its probability map `(H, W)`."""
    network = model.model
    assert isinstance(network, SegmentationModel)
    for sample in samples:
        height_px, width_px = sample.pixels_HW.shape
        raw = run_frame(model, sample.normalised(), metadata_of(sample))
        yield sample, network.probabilities(raw)[0, :height_px, :width_px].cpu().numpy()


def mask_sets(sets: Sequence[str] | None = None) -> tuple[str, ...]:
    """Those of some data sets that have masks, and folders of one's own; None for all known ones that have masks."""
    own = [name for name in sets or () if name not in KNOWN_SETS]
    return (*(name for name in MASK_SETS if sets is None or name in sets), *own)


def choose_segmentation_threshold(
    network: SegmentationModel, sets: Sequence[str] | None = None, *, device: Device = "cpu", report: Report = no_report
) -> dict[str, float]:
    """The threshold with the best mean over the data sets of IoU plus nIoU on `select` images; without any, the one it has."""
    metrics = _segmentation_metrics(network, Role.SELECT, CANDIDATE_THRESHOLDS, mask_sets(sets), device, report)
    quality = {threshold: overlap([metric for (_, at), metric in metrics.items() if at == threshold]) for threshold in CANDIDATE_THRESHOLDS}
    if math.isnan(quality[CANDIDATE_THRESHOLDS[0]]):
        why = "no held-out images with targets" if metrics else "no held-out images with masks"
        print(f"threshold stays {network.settings.threshold:g}: {why} (split val)", file=sys.stderr)
        return dict(network.settings.model_dump())
    return network.settings.model_dump() | {"threshold": max(quality, key=lambda threshold: quality[threshold])}


def overlap(metrics: Iterable[SegmentationMetrics]) -> float:
    """Score that chooses: the mean over data sets that have targets of the mean of IoU and nIoU; NaN where none has any."""
    scores = [scores for metric in metrics if (scores := metric.compute()).num_targets]
    return sum((each.iou + each.niou) / 2 for each in scores) / len(scores) if scores else math.nan


def segmentation_quality(network: SegmentationModel, samples: Sequence[Sample], device: Device) -> float:
    """`overlap` at the threshold 0.5; findings in regions that nobody labelled count neither way."""
    metrics = {dataset: SegmentationMetrics() for dataset in sorted({sample.dataset for sample in samples})}
    for sample, map_HW in probability_maps(prepare(network, device), samples):
        metrics[sample.dataset].update((map_HW > _VALIDATION_THRESHOLD) & (sample.unknown_HW == 0), sample.mask_HW > 0)
    return overlap(metrics.values())


def measure_segmentation(
    network: SegmentationModel,
    role: Role,
    command: str,
    sets: Sequence[str] | None = None,
    *,
    device: Device = "cpu",
    report: Report = no_report,
) -> list[Measurement]:
    """Overlap, detection and error rates of each data set, at the network's threshold; `DATASET` in the command becomes its name.

    In float32; the IoU also in bfloat16, where this device is faster with it.
    """
    formats = [torch.float32] + [torch.bfloat16] * (fastest_dtype(str(device)) is torch.bfloat16)
    threshold, names = network.settings.threshold, mask_sets(sets)
    plain, *half = (
        _segmentation_metrics(network, role, (threshold,), names, device, partial(_part, report, number, len(formats)), dtype)
        for number, dtype in enumerate(formats)
    )
    measured = []
    for name, _ in plain:
        scores = plain[name, threshold].compute()
        values = {figure: float(getattr(scores, figure)) for figure in _FIGURES} | {"targets": float(scores.num_targets)}
        if half:
            values["iou_bfloat16"] = half[0][name, threshold].compute().iou
        measured.append(_measurement(name, role, scores.num_images, command.replace(DATASET, shlex.quote(name)), values))
    return measured


def _part(report: Report, number: int, parts: int, done: int, of: int) -> None:
    """Report one of several equal parts."""
    report(done + number * of, parts * of)


def _segmentation_metrics(
    network: SegmentationModel,
    role: Role,
    thresholds: Sequence[float],
    sets: Sequence[str],
    device: Device,
    report: Report,
    dtype: torch.dtype = torch.float32,
) -> dict[tuple[str, float], SegmentationMetrics]:
    """By data set that has masks, and threshold; findings in regions that nobody labelled count neither way."""
    samples = read_samples(sets, role)
    masked = {sample.dataset for sample in samples if sample.has_mask}
    metrics = {(name, threshold): SegmentationMetrics() for name in sets if name in masked for threshold in thresholds}
    samples = [sample for sample in samples if sample.dataset in masked]
    for number, (sample, map_HW) in enumerate(probability_maps(prepare(network, device, dtype), samples), start=1):
        known_HW = sample.unknown_HW == 0
        for threshold in thresholds:
            answer_HW = answer_of(map_HW, threshold, network.settings.min_area_px, sample.void_HW)
            metrics[sample.dataset, threshold].update(answer_HW & known_HW, sample.mask_HW > 0)
        report(number, len(samples))
    return metrics


def detect(
    network: DetectionModel, samples: Iterable[Sample], lowest_score: float = _LOWEST_SCORE, *, device: Device = "cpu"
) -> Iterator[tuple[Sample, Detections]]:
    """Each image with its boxes, also weak ones."""
    model = prepare(network, device)
    assert isinstance(model.model, DetectionModel)
    model.model.configure(network.settings.model_dump() | {"score_threshold": lowest_score})
    for sample in samples:
        raw = run_frame(model, sample.normalised(), metadata_of(sample))
        found = model.model.postprocess(raw, [sample.pixels_HW.shape])[0]
        if sample.void_HW is not None:
            shown_N = boxes_shown(found.boxes_xyxy_px, sample.void_HW)
            found = Detections(found.boxes_xyxy_px[shown_N], found.scores[shown_N])
        yield sample, found


def boxes_of(sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """True boxes and ignored regions of an image."""
    return sample.boxes_xyxy_px[~sample.ignored_N], sample.boxes_xyxy_px[sample.ignored_N]


def tight_boxes_of(sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """True boxes by the one convention (`Sample.tight_boxes_xyxy_px`), ignored regions, and targets of which only the place is known."""
    boxes_N4, sized_N = sample.tight_boxes_xyxy_px, ~(sample.ignored_N | sample.loose_N)
    return boxes_N4[sized_N], boxes_N4[sample.ignored_N], boxes_N4[sample.loose_N]


def count_overlaps(metric: DetectionMetrics, sample: Sample, found: Detections) -> None:
    """Count the boxes found in an image; of targets of which only the place is known overlaps say nothing."""
    targets_N4, ignored_K4, placed_L4 = tight_boxes_of(sample)
    metric.update(found, targets_N4, np.concatenate([ignored_K4, placed_L4]))


def choose_score_threshold(
    network: DetectionModel, sets: Sequence[str] | None = None, *, device: Device = "cpu", report: Report = no_report
) -> dict[str, float]:
    """The mean over the data sets of the threshold with the best F1 on `select` images; without any target, the one it has."""
    metrics = _detection_metrics(network, Role.SELECT, sets, device, report).values()
    kept = [metric for metric in metrics if metric.compute().num_targets]
    if not kept:
        print(f"threshold stays {network.settings.score_threshold:g}: no held-out images with targets (split val)", file=sys.stderr)
    return chosen_score_threshold(network, kept)


def chosen_score_threshold(network: DetectionModel, metrics: Sequence[DetectionMetrics]) -> dict[str, float]:
    """The mean of the thresholds with the best F1; without any, the one the network has."""
    thresholds = [metric.best_threshold() for metric in metrics]
    if not thresholds:
        return network.settings.model_dump()
    return network.settings.model_dump() | {"score_threshold": min(max(round(float(np.mean(thresholds)), 2), 0.01), 0.99)}


def detection_quality(network: DetectionModel, samples: Sequence[Sample], device: Device) -> float:
    """Mean over the data sets that have targets of AP50; NaN where none has any."""
    metrics = _metrics_on(network, samples, device, no_report).values()
    scores = [scores.ap for metric in metrics if (scores := metric.compute()).num_targets]
    return float(np.mean(scores)) if scores else math.nan


def measure_detection(
    network: DetectionModel,
    role: Role,
    command: str,
    sets: Sequence[str] | None = None,
    *,
    device: Device = "cpu",
    report: Report = no_report,
) -> list[Measurement]:
    """AP50, recall, and precision and recall at the network's threshold, and `DetectionFigures`, of each data set.

    By one convention of boxes (`Sample.tight_boxes_xyxy_px`). Of sets with loose labels also by these: `ap50_labelled`, `recall_labelled`,
    `ap_centre_labelled`.
    """
    samples = read_samples(_box_sets(sets), role)
    metrics = {sample.dataset: (DetectionMetrics(), DetectionFigures(), DetectionMetrics(), DetectionFigures()) for sample in samples}
    loose = {sample.dataset for sample in samples if sample.is_loose}
    for number, (sample, found) in enumerate(detect(network, samples, device=device), start=1):
        metric, figures, as_labelled, figures_as_labelled = metrics[sample.dataset]
        count_overlaps(metric, sample, found)
        figures.update(found, *tight_boxes_of(sample))
        if sample.is_loose:
            as_labelled.update(found, *boxes_of(sample))
            figures_as_labelled.update(found, *boxes_of(sample))
        report(number, len(samples))
    measured = []
    for name, (metric, figures, as_labelled, figures_as_labelled) in metrics.items():
        scores = metric.compute(network.settings.score_threshold)
        values = {key: float(value) for key, value in dataclasses.asdict(scores).items() if not key.startswith("num_")}
        values = {"ap50": values.pop("ap"), **values, "targets": scores.num_targets}
        # Sizes that do not occur have nothing to say.
        values |= {key: value for key, value in figures.compute().items() if value or not key.startswith("targets_")}
        if name in loose:
            labelled = as_labelled.compute()
            values |= {"ap50_labelled": labelled.ap, "recall_labelled": labelled.recall}
            values["ap_centre_labelled"] = figures_as_labelled.compute()["ap_centre"]
        measured.append(_measurement(name, role, scores.num_images, command, values))
    return measured


def _box_sets(sets: Sequence[str] | None) -> Sequence[str]:
    return (*BOX_SETS, SYNTHETIC) if sets is None else sets


def _detection_metrics(
    network: DetectionModel, role: Role, sets: Sequence[str] | None, device: Device, report: Report
) -> dict[str, DetectionMetrics]:
    return _metrics_on(network, read_samples(_box_sets(sets), role), device, report)


def _metrics_on(network: DetectionModel, samples: Sequence[Sample], device: Device, report: Report) -> dict[str, DetectionMetrics]:
    metrics = {sample.dataset: DetectionMetrics() for sample in samples}
    for number, (sample, found) in enumerate(detect(network, samples, device=device), start=1):
        count_overlaps(metrics[sample.dataset], sample, found)
        report(number, len(samples))
    return metrics


def targets_of(samples: Sequence[Sample], class_names: Sequence[str]) -> list[tuple[Sample, NDArray[np.float32], int]]:
    """All targets of some classes: image, box, class index; ignored regions and other classes are left out."""
    return [
        (sample, box, class_names.index(label))
        for sample in samples
        for box, label in zip(sample.boxes_xyxy_px, sample.labels, strict=True)
        if label in class_names and label != "ignore"
    ]


def classify(
    network: ClassificationModel, samples: Sequence[Sample], *, device: Device = "cpu", report: Report = no_report
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and answered class of every target that has one, cropped around its true box."""
    targets = targets_of(samples, network.class_names)
    scores_NK = class_scores(network, [(sample, box) for sample, box, _ in targets], device=device, report=report)
    return np.array([label for _, _, label in targets], np.int64), scores_NK.argmax(1).astype(np.int64)


def class_scores(
    network: ClassificationModel,
    targets: Sequence[tuple[Sample, NDArray[np.float32]]],
    *,
    device: Device = "cpu",
    report: Report = no_report,
) -> NDArray[np.float32]:
    """Scores `(N, K)` of N boxes in their images."""
    return prepared_class_scores(prepare(network, device), targets, report=report)


def prepared_class_scores(
    model: InferenceModel, targets: Sequence[tuple[Sample, NDArray[np.float32]]], *, report: Report = no_report
) -> NDArray[np.float32]:
    """The same of a classifier that is prepared: to prepare one takes as long as hundreds of crops."""
    network = model.model
    assert isinstance(network, ClassificationModel)
    scores = []
    for start in range(0, len(targets), _CROPS_A_BATCH):
        part = targets[start : start + _CROPS_A_BATCH]
        crops = np.stack([sample.crop_of(box, network.crop_side_px) for sample, box in part])[:, None]
        known = [(sample.platform, sample.band, (sample.pixels_HW.shape[0], sample.pixels_HW.shape[1])) for sample, _ in part]
        raw = model.forward(torch.from_numpy(crops), MetadataBatch.of_each(known))
        scores.append(network.scores(raw).cpu().numpy())
        report(start + len(part), len(targets))
    return np.concatenate(scores) if scores else np.zeros((0, len(network.class_names)), np.float32)


def choose_temperature(
    network: ClassificationModel, samples: Iterable[Sample], *, device: Device = "cpu", report: Report = no_report
) -> dict[str, float]:
    """Settings of a classifier with the temperature that fits the targets of some images; the one it has where these are too few.

    Images are seen one by one: of each only the scores stay.
    """
    parts, model = [], prepare(network, device)
    model.model.configure({})  # the prepared copy: scores at a temperature of 1
    for sample in samples:
        targets = targets_of([sample], network.class_names)
        if targets:
            scores_NK = prepared_class_scores(model, [(sample, box) for _, box, _ in targets])
            parts.append((scores_NK, np.array([label for _, _, label in targets], np.int64)))
        report(len(parts), len(parts))
    now = network.settings
    if not parts:
        return now.model_dump()
    found = fit_temperature(np.concatenate([scores for scores, _ in parts]), np.concatenate([truth for _, truth in parts]))
    return now.model_dump() | ({} if found is None else {"temperature": round(found, FIGURE_DIGITS)})


def classification_quality(network: ClassificationModel, samples: Sequence[Sample], device: Device) -> float:
    """Macro-F1 over all targets that have a class; NaN without any."""
    return _class_figures(network, samples, device, no_report).macro_f1


def _class_figures(network: ClassificationModel, samples: Sequence[Sample], device: Device, report: Report) -> ClassificationScores:
    answers = classify(network, samples, device=device, report=report)
    return classification_scores(confusion_matrix(*answers, len(network.class_names)))


def measure_classification(
    network: ClassificationModel,
    role: Role,
    command: str,
    named_sets: Sequence[str],
    unnamed_sets: Sequence[str],
    *,
    device: Device = "cpu",
    report: Report = no_report,
) -> list[Measurement]:
    """Accuracy, macro-F1 and confusion matrix of each named data set, and of the real ones together; then what gets no name."""
    found = {name: read_samples((name,), role) for name in named_sets}
    real = tuple(name for name, samples in found.items() if samples and name != SYNTHETIC)
    groups = [(name,) for name in real] + [real] * (len(real) > 1) + [(SYNTHETIC,)] * bool(found.get(SYNTHETIC))
    measured = []
    for names in groups:
        samples = [sample for name in names for sample in found[name]]
        scores = _class_figures(network, samples, device, report)
        figures = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1")
        values = {name: float(getattr(scores, name)) for name in figures}
        values |= {f"f1_{name}": float(f1) for name, f1 in zip(network.class_names, scores.f1_K, strict=True)}
        measurement = _measurement(" + ".join(names), role, len(samples), command, values)
        measured.append(measurement.model_copy(update={"confusion": scores.confusion_KK.tolist()}))
    for name in unnamed_sets:
        samples = read_samples((name,), role)
        targets = [(sample, box) for sample in samples for box in sample.boxes_xyxy_px]
        if targets:
            best_N = class_scores(network, targets, device=device, report=report).max(1)
            values = {"left_unnamed": float((best_N < NAMED_FROM_SCORE).mean()), "targets": len(best_N)}
            measured.append(_measurement(name, role, len(samples), command, values))
    return measured


def _measurement(dataset: str, role: Role, num_images: int, command: str, values: dict[str, float]) -> Measurement:
    split = _SPLIT_NAMES.get(dataset, {}).get(role, str(role))
    finite = {name: round(float(value), FIGURE_DIGITS) for name, value in values.items() if math.isfinite(value)}
    return Measurement(data=f"{dataset} {split} ({num_images} images)", command=command, values=finite)
