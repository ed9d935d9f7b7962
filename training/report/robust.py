"""Run the suite `robust`: does a segmenter answer changed frames as untouched ones, and find targets of cameras it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Pixels
from evaluation.calibration import calibrate
from evaluation.found import FoundMetrics
from evaluation.perturbations import PERTURBATIONS, LabelledFrame, perturbed
from evaluation.robustness import UNTOUCHED, ChangedSet, FoundOn, RobustResult
from evaluation.segmentation import Counts, count_image
from evaluation.segmentation_protocols import PROTOCOLS
from models.card import ModelCard
from models.inference import InferenceModel, prepare
from models.regions import answer_of, regions_of
from models.segmentation.base import SegmentationModel
from training.data.robust_sets import RobustSet, has_learnt
from training.data.samples import Sample
from training.tasks.measuring import boxes_of, probability_maps

LOWEST = 0.1
"""Threshold of the regions that the curve of found targets is made of: low, so that a threshold on their scores can be chosen later."""
ReportSet = Callable[[int, int, str], None]
"""Gets the number of frames done, of all, and which data set is at work."""
_PROTOCOL = PROTOCOLS["default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustPlan:
    """Plan of the suite.

    Attributes:
        changes: of `PERTURBATIONS`.
        threshold: of masks, instead of the card's; None keeps that.
        flips: average over the four flips of a frame.
        device: where to compute.
        seed: of the changes.
    """

    changes: tuple[str, ...] = tuple(PERTURBATIONS)
    threshold: float | None = None
    flips: bool = False
    device: str = "cpu"
    seed: int = 0


def num_frames(sets: Sequence[RobustSet], plan: RobustPlan) -> int:
    """Frames that a network runs for the suite."""
    return sum(len(each.samples) * (1 + len(plan.changes) * each.has_masks) for each in sets)


def run_suite(
    network: SegmentationModel, label: str, card: ModelCard, sets: Sequence[RobustSet], plan: RobustPlan, report: ReportSet
) -> RobustResult:
    """Run the suite of one network.

    Args:
        network: with its thresholds configured.
        label: how it is called in tables.
        card: of its weights: which sets it learnt from.
        sets: with their images.
        plan: how.
        report: told after each frame.
    """
    if plan.threshold is not None:
        network.configure(network.settings.model_dump() | {"threshold": plan.threshold})
    model = prepare(network, plan.device, flips=plan.flips)
    done, of = 0, num_frames(sets, plan)
    changed, found = [], []
    for each in sets:
        one = _OfSet(each.name, has_learnt(card, each.name))
        for sample in each.samples:
            raw_HW = sample.read_pixels() if each.has_masks else sample.pixels_HW  # changes come before anything is filled
            (map_HW,) = (map_HW for _, map_HW in probability_maps(model, [sample]))
            one.find(sample, map_HW, network)
            changes = (UNTOUCHED, *plan.changes) if each.has_masks else ()
            for change in changes:
                one.count(change, _count(model, sample, raw_HW, map_HW, change, plan.seed))
            done += max(len(changes), 1)
            report(done, of, each.name)
        found.append(one.found())
        if each.has_masks and each.samples:
            changed.append(one.changed([sample.image_id for sample in each.samples]))
    return RobustResult(name=label, digest=card.digest, threshold=network.settings.threshold, changed=tuple(changed), found=tuple(found))


def _count(model: InferenceModel, sample: Sample, raw_HW: Pixels, untouched_HW: NDArray[np.float32], change: str, seed: int) -> Counts:
    """Counts of one image after a change; `raw_HW` are its counts, `untouched_HW` is the answer to them before."""
    frame = LabelledFrame(raw_HW, sample.bit_depth, sample.mask_HW > 0, sample.unknown_HW > 0)  # type: ignore[arg-type]
    map_HW = untouched_HW
    if change != UNTOUCHED:
        frame = perturbed(change, frame, sample.image_id, seed)
        given = replace(sample, read_pixels=lambda: frame.counts_HW, bit_depth=frame.bit_depth)
        (map_HW,) = (map_HW for _, map_HW in probability_maps(model, [given]))
    network = model.model
    assert isinstance(network, SegmentationModel)
    answer_HW = answer_of(map_HW, network.settings.threshold, network.settings.min_area_px)
    return count_image(answer_HW & ~frame.unknown_HW, frame.mask_HW, _PROTOCOL)


@dataclass(slots=True)
class _OfSet:
    """Figures of one set, while its images come."""

    dataset: str
    learnt: bool
    low: FoundMetrics = field(default_factory=FoundMetrics)
    in_use: FoundMetrics = field(default_factory=FoundMetrics)
    counts: dict[str, list[Counts]] = field(default_factory=dict)

    def find(self, sample: Sample, map_HW: NDArray[np.float32], network: SegmentationModel) -> None:
        """Count the regions of an image as the stream would describe them, with its scores."""
        targets_N4, ignored_K4 = boxes_of(sample)
        for metrics, threshold in ((self.low, min(LOWEST, network.settings.threshold)), (self.in_use, network.settings.threshold)):
            regions = regions_of(map_HW, threshold, network.settings.min_area_px, pixels_HW=sample.pixels_HW)
            metrics.update(regions.centroids_xy_px, regions.scores, targets_N4, ignored_K4)

    def count(self, change: str, counts: Counts) -> None:
        """Keep the counts of an image after a change."""
        self.counts.setdefault(change, []).append(counts)

    def found(self) -> FoundOn:
        """Targets found by their centres."""
        hits_N, num_targets = self.in_use.hits_N, self.in_use.compute().num_targets
        return FoundOn(
            dataset=self.dataset,
            learnt=self.learnt,
            curve=self.low.compute(),
            calibration=calibrate(self.low.scores_N, self.low.hits_N),
            pd_in_use=float(hits_N.sum() / num_targets) if num_targets else float("nan"),
            false_in_use=float((~hits_N).sum() / max(self.in_use.compute().num_frames, 1)),
            calibration_in_use=calibrate(self.in_use.scores_N, hits_N),
        )

    def changed(self, image_ids: Sequence[str]) -> ChangedSet:
        """Counts of all images."""
        counts = {change: tuple(every) for change, every in self.counts.items()}
        return ChangedSet(dataset=self.dataset, learnt=self.learnt, image_ids=tuple(image_ids), counts=counts)
