"""Training of detectors: batches, loss, validation, thresholds and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.errors import SettingsError
from contracts.result import CLASS_NAMES
from evaluation.drawing import Picture
from models.boxes import areas, cut_boxes
from models.card import Measurement
from models.detection.base import BoxTruth, DetectionModel
from models.interface import MetadataBatch
from models.transforms import normalise
from models.zoo import AnyModel
from training.augmentation.camera import Flaws, rescale, spoil
from training.augmentation.crops import crop_origin, cut_pixels
from training.augmentation.geometry import apply_symmetry, apply_symmetry_to_boxes, symmetry
from training.augmentation.radiometry import jitter_counts
from training.data.batches import Batch, SeededBatches, known_of, padded_pixels
from training.data.samples import Role, Sample, read_samples
from training.data.sampling import SamplePool, by_images
from training.tasks.answers import Answerer, Outcomes, detection_figures, detection_metrics_of, detector_answers, found_outcomes
from training.tasks.base import Recipe, TrainingTask, Validator, wrong_base
from training.tasks.measuring import (
    DATASET,
    Report,
    boxes_of,
    choose_score_threshold,
    chosen_score_threshold,
    detection_quality,
    measure_detection,
    no_report,
)
from training.tasks.pictures import detection_picture

Floats = NDArray[np.float32]
TARGET, IGNORED, LOOSE, NO_BOX = 1, 2, 3, 0
"""Kinds of boxes in a batch: `LOOSE` are targets of unknown size, `NO_BOX` fills up the rows of crops with fewer boxes than others."""
UNKNOWN_CLASS = -1
"""Of a target without a class: as losses leave it out (`BoxTruth.class_M`)."""
_CLASSES = {name: index for index, name in enumerate(CLASS_NAMES)}
_MIN_VISIBLE = 0.4
# Small targets are the point: shrinking them would erase them, so sets of larger objects alone are shrunk.
_RESCALED_SETS = frozenset({"hit-uav", "drone-ir", "drone-ir-clips"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRecipe(Recipe):
    """Recipe of crops for a detector.

    Attributes:
        crop_px: side of the training crops.
        target_probability: share of crops that are made to hold the centre of a target.
        shares: how often each data set is drawn (relative).
        natural: data sets that divide what they have together by the numbers of their images.
        scale: range of the factor of images of sets with larger objects.
        enlarge: largest factor of other images; 1: their targets stay as they are.
        flaws: those of other cameras.
        tight: boxes by one convention (`Sample.tight_boxes_xyxy_px`); else as they are labelled.
        keep_offsets: boxes of sets that draw them beside the light stay there through flips (`training.data.label_conventions`).
    """

    crop_px: int = 224
    target_probability: float = 0.7
    natural: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.7, 1.3)
    enlarge: float = 1.0
    flaws: Flaws = field(default_factory=lambda: Flaws(probability=0.0))
    tight: bool = True
    keep_offsets: bool = False
    shares: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {
                "nudt-sirst": 0.16,
                "irstd-1k": 0.16,
                "sirst-v2": 0.1,
                "hit-uav": 0.32,
                "drone-ir": 0.06,
                "drone-ir-clips": 0.06,
                "synthetic": 0.14,
            }
        )
    )

    @property
    def sets(self) -> tuple[str, ...]:
        """Data sets that are learnt from."""
        return tuple(self.shares)

    def with_sets(self, sets: Sequence[str]) -> Self:
        """The same on other data sets, in equal shares."""
        return replace(self, shares=MappingProxyType(dict.fromkeys(sets, 1.0)), natural=())

    def with_crop(self, crop_px: int) -> Self:
        """The same with crops of another side."""
        return replace(self, crop_px=crop_px)


@dataclass(frozen=True, slots=True, eq=False)
class _Crop:
    """A crop with its boxes.

    Attributes:
        pixels_HW: normalised.
        boxes_N4: inside the crop.
        kinds_N: of each.
        classes_N: index into `CLASS_NAMES`, or `UNKNOWN_CLASS`.
    """

    pixels_HW: Floats
    boxes_N4: Floats
    kinds_N: NDArray[np.int64]
    classes_N: NDArray[np.int64]


class DetectionBatches(SeededBatches):
    """Crops with their boxes `(B, M, 4)` float32, the kind of each `(B, M)` int64, and its class `(B, M)` int64 or `UNKNOWN_CLASS`.

    Kinds are `TARGET`, `LOOSE`, `IGNORED` and `NO_BOX`.
    """

    def __init__(self, samples: Sequence[Sample], recipe: DetectionRecipe) -> None:
        """Take the images.

        Raises:
            SettingsError: no image has a box.
        """
        if not any(len(sample.boxes_xyxy_px) for sample in samples):
            raise SettingsError(
                expected="at least one image with boxes",
                got=f"none in {', '.join(recipe.sets)}",
                where="data to train a detector on",
                action="Name boxes in the index, or add a data set that has them.",
            )
        self.samples, self._recipe, self.seed = samples, recipe, recipe.seed

    def picks(self) -> Iterator[list[Sample]]:
        """The images of each batch."""
        shares = by_images(self._recipe.shares, self.samples, self._recipe.natural)
        pool = SamplePool(self.samples, shares, np.random.default_rng(self.seed))
        while True:
            yield pool.draw_many(self._recipe.batch_size)

    def make(self, pick: list[Sample], rng: np.random.Generator) -> Batch:
        """One crop of each image."""
        crops = [self._crop(sample, rng) for sample in pick]
        most = max(len(crop.kinds_N) for crop in crops)
        boxes_BM4 = torch.zeros(len(crops), most, 4)
        kinds_BM, classes_BM = torch.full((len(crops), most), NO_BOX), torch.full((len(crops), most), UNKNOWN_CLASS)
        for row, crop in enumerate(crops):
            num = len(crop.kinds_N)
            boxes_BM4[row, :num] = torch.from_numpy(crop.boxes_N4)
            kinds_BM[row, :num] = torch.from_numpy(crop.kinds_N)
            classes_BM[row, :num] = torch.from_numpy(crop.classes_N)
        pixels_B1HW = torch.from_numpy(np.stack([crop.pixels_HW for crop in crops])[:, None])
        known = [known_of(sample, self._recipe.unknown_share, rng) for sample in pick]
        return Batch(pixels_B1HW, (boxes_BM4, kinds_BM, classes_BM), MetadataBatch.of_each(known))

    def _crop(self, sample: Sample, rng: np.random.Generator) -> _Crop:
        crop_px, recipe = self._recipe.crop_px, self._recipe
        scale = float(rng.uniform(*(recipe.scale if sample.dataset in _RESCALED_SETS else (1.0, recipe.enlarge))))
        source_px = round(crop_px / scale)
        labelled_N4 = sample.tight_boxes_xyxy_px if recipe.tight else sample.boxes_xyxy_px
        focus = None
        if len(labelled_N4) and rng.random() < recipe.target_probability:
            x_min, y_min, x_max, y_max = labelled_N4[rng.integers(len(labelled_N4))]
            focus = (float(x_min + x_max) / 2, float(y_min + y_max) / 2)
        top, left = crop_origin(sample.pixels_HW.shape, source_px, focus, rng)
        pixels = cut_pixels(sample, top, left, source_px)
        if source_px != crop_px:
            interpolation = cv2.INTER_AREA if source_px > crop_px else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, (crop_px, crop_px), interpolation=interpolation), np.float32)
        chosen, zoom = symmetry(rng), np.float32(crop_px / source_px)
        moved = (labelled_N4 - np.array([left, top, left, top], np.float32)) * zoom
        clipped, visible_N, hidden_N = _seen(moved, sample.ignored_N, crop_px)
        kinds_N = np.where(hidden_N, IGNORED, np.where(sample.loose_N & recipe.tight, LOOSE, TARGET))
        if recipe.keep_offsets and sample.offset_N.any():
            # The light lies right of and below such a box; flipped it would lie on the other side.
            rows, columns, _ = chosen
            clipped = clipped + np.float32(zoom) * sample.offset_N[:, None] * np.array([columns, rows, columns, rows], np.float32)
        kept_N = visible_N | hidden_N
        turned = np.ascontiguousarray(apply_symmetry(pixels, chosen), np.float32)
        if recipe.flaws.probability > 0 and rng.random() < recipe.flaws.probability:
            black, next_count = normalise(np.array([0, 1]), sample.normalisation).tolist()
            turned = rescale(spoil(turned, recipe.flaws, (black, next_count - black), rng), recipe.flaws, rng)
        return _Crop(
            jitter_counts(turned, rng),
            apply_symmetry_to_boxes(clipped[kept_N], crop_px, chosen),
            kinds_N[kept_N],
            np.array([_CLASSES.get(label, UNKNOWN_CLASS) for label in sample.labels], np.int64)[kept_N],
        )


def _seen(boxes_N4: Floats, ignore_N: NDArray[np.bool_], crop_px: int) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Boxes cut at the border of a crop; which of them are targets, and which lie mostly outside, or hold what nobody labelled."""
    clipped = cut_boxes(boxes_N4, (0, 0, crop_px, crop_px))
    visible = areas(clipped)
    unknown_N = (visible < _MIN_VISIBLE * areas(boxes_N4)) | ignore_N
    return clipped, (visible > 0) & ~unknown_N, (visible > 0) & unknown_N


def clip_boxes(boxes_N4: Floats, ignore_N: NDArray[np.bool_], crop_px: int) -> tuple[Floats, Floats]:
    """Cut boxes at the border of a crop; those mostly outside it are neither target nor background.

    Returns:
        Target boxes and ignored boxes, both inside the crop.
    """
    clipped, seen_N, hidden_N = _seen(boxes_N4, ignore_N, crop_px)
    return clipped[seen_N], clipped[hidden_N]


def truths_of(batch: Batch) -> list[BoxTruth]:
    """Targets and ignored regions of each crop of a batch."""
    truths = []
    for boxes, kinds, classes in zip(*batch.targets, strict=True):
        targets = (kinds == TARGET) | (kinds == LOOSE)
        truths.append(BoxTruth(boxes[targets], boxes[kinds == IGNORED], kinds[targets] == LOOSE, classes[targets]))
    return truths


def detection_loss_of(model: DetectionModel, batch: Batch) -> Tensor:
    """Loss of a batch that is on the device of a detector, in float32, of crops as `padded_pixels` makes them."""
    raw = model(padded_pixels(model, batch), batch.metadata)
    truths = truths_of(batch) if model.takes_loose else [each.without_loose() for each in truths_of(batch)]
    with torch.autocast(batch.pixels_B1HW.device.type, enabled=False):
        exact = raw.float() if isinstance(raw, Tensor) else tuple(each.float() for each in raw)
        return model.training_loss(exact, truths)


class DetectionTask(TrainingTask):
    """See `TrainingTask`."""

    # Every crop has its own number of boxes, which the loss asks the GPU for.
    recipe: DetectionRecipe

    def __init__(self, model: AnyModel, recipe: DetectionRecipe) -> None:
        """Nothing is read yet.

        Raises:
            SettingsError: the network is no detector.
        """
        if not isinstance(model, DetectionModel):
            raise wrong_base(model, DetectionModel)
        self.recipe = recipe

    @property
    def records_passes(self) -> bool:
        """Boxes are assigned in Python."""
        return False

    def source(self, steps: int | None = None) -> DetectionBatches:
        """Augmented crops."""
        return DetectionBatches(self.samples, self.recipe)

    @property
    def headline(self) -> str:
        """Average precision."""
        return "ap50"

    def source_of(self, samples: Sequence[Sample], seed: int, steps: int | None = None) -> DetectionBatches:
        """Augmented crops."""
        return DetectionBatches(samples, replace(self.recipe, seed=seed))

    def quality(self, model: nn.Module, samples: Iterable[Sample]) -> float:
        """See `validator`."""
        assert isinstance(model, DetectionModel)
        metrics = detection_metrics_of(model, samples, next(model.parameters()).device)
        scores = [scores.ap for metric in metrics.values() if (scores := metric.compute()).num_targets]
        return float(np.mean(scores)) if scores else math.nan

    def chosen_on(self, model: AnyModel, samples: Iterable[Sample], *, device: str = "cpu") -> dict[str, float]:
        """The mean over the data sets of the score threshold with the best F1."""
        assert isinstance(model, DetectionModel)
        metrics = detection_metrics_of(model, samples, device).values()
        return chosen_score_threshold(model, [metric for metric in metrics if metric.compute().num_targets])

    def answers(self, model: AnyModel, *, device: str = "cpu") -> Answerer:
        """See `detector_answers`."""
        assert isinstance(model, DetectionModel)
        return detector_answers(model, device)

    def image_score(self, figures: Mapping[str, float]) -> float:
        """F1 at the threshold; without targets 1 where nothing is answered, else 0."""
        recall, precision = figures["recall"], figures["precision"]
        if math.isnan(recall):
            return float(figures["false"] == 0)
        return 0.0 if math.isnan(precision) or recall + precision == 0 else 2 * recall * precision / (recall + precision)

    def outcomes(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> Outcomes:
        """See `found_outcomes`."""
        return found_outcomes(rows)

    def figures(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """See `detection_figures`."""
        assert isinstance(model, DetectionModel)
        return detection_figures(rows, model.settings.score_threshold)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The network's own."""
        assert isinstance(model, DetectionModel)
        return detection_loss_of(model, batch)

    def validator(self) -> Validator:
        """Mean over the data sets of AP50."""
        samples = read_samples(self.recipe.sets, Role.SELECT)
        if not any(len(boxes_of(sample)[0]) for sample in samples):
            raise SettingsError(
                expected="held-out images (split val) with boxes",
                got=f"{len(samples)} images without any" if samples else "no image",
                where="`validation` of a detector",
                action="Give some labelled images the split `val`, or train without validation.",
            )

        def validate(model: nn.Module) -> float:
            assert isinstance(model, DetectionModel)
            return detection_quality(model, samples, next(model.parameters()).device)

        return validate

    def choose(self, model: AnyModel, *, device: str = "cpu", report: Report = no_report) -> dict[str, float]:
        """The score threshold with the best F1 on held-out images."""
        assert isinstance(model, DetectionModel)
        return choose_score_threshold(model, self.recipe.sets, device=device, report=report)

    def measure(
        self, model: AnyModel, role: Role = Role.TEST, weights: Path | None = None, *, device: str = "cpu", report: Report = no_report
    ) -> list[Measurement]:
        """AP50, recall, and precision and recall at the threshold, of each data set of the recipe."""
        assert isinstance(model, DetectionModel)
        command = self.measured_by(model.name, weights, DATASET)
        return measure_detection(model, role, command, self.recipe.sets, device=device, report=report)

    def picture(self, model: AnyModel) -> Picture:
        """See `training.tasks.pictures.detection_picture`."""
        assert isinstance(model, DetectionModel)
        return detection_picture(model)
