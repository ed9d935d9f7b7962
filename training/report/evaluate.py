"""Evaluate segmenters on labelled images as the stream would run them, but whole: the stream cuts frames over 1,024 px into tiles."""

from __future__ import annotations

import heapq
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.text import counted
from evaluation.curves import CurveMetrics
from evaluation.results import Cost, ImageRow, ModelResult, WorstFrame
from evaluation.segmentation import SegmentationMetrics, count_image
from evaluation.segmentation_protocols import PROTOCOLS, Protocol
from evaluation.targets import targets_of
from models.cost import FRAME_PX, gmacs, latencies_ms, num_parameters
from models.inference import InferenceModel, prepare
from models.regions import answer_of
from models.segmentation.base import SegmentationModel
from training.data.samples import Sample
from training.report.overlay import overlay
from training.tasks.measuring import Report, no_report, probability_maps

SWEEP = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """Plan of an evaluation.

    Attributes:
        protocol: how targets are matched, by name (`evaluation.segmentation_protocols`).
        threshold: instead of the card's; None keeps that.
        flips: average over the four flips of a frame (test-time augmentation; four times the cost).
        num_worst: frames to show.
        device: where to compute.
        rounds: forward passes whose time is taken.
    """

    protocol: str = "default"
    threshold: float | None = None
    flips: bool = False
    num_worst: int = 12
    device: str = "cpu"
    rounds: int = 20


def evaluate(
    network: SegmentationModel,
    label: str,
    digest: str,
    samples: Sequence[Sample],
    plan: EvaluationPlan,
    cost: Cost,
    report: Report = no_report,
) -> ModelResult:
    """Run a segmenter over labelled images.

    Findings in regions that nobody labelled count neither way; those pixels stay among all that Fa is a share of.

    Args:
        network: with its threshold configured.
        label: how it is called in tables.
        digest: of its weights.
        samples: labelled images.
        plan: how.
        cost: of the network (`costs_of`).
        report: gets the number of images done and of all.
    """
    protocol = PROTOCOLS[plan.protocol]
    threshold = network.settings.threshold if plan.threshold is None else plan.threshold
    min_area_px = network.settings.min_area_px
    model = _prepared(network, plan)
    curves = CurveMetrics()
    sweep = {each: SegmentationMetrics(protocol) for each in SWEEP}
    rows: list[ImageRow] = []
    worst: list[tuple[float, int, Sample, NDArray[np.bool_]]] = []
    ties = count()
    for number, (sample, map_HW) in enumerate(probability_maps(model, samples), start=1):
        known_HW, truth_HW = sample.unknown_HW == 0, sample.mask_HW > 0
        answer_HW = answer_of(map_HW, threshold, min_area_px, sample.void_HW) & known_HW
        curves.update(map_HW[known_HW][None], truth_HW[known_HW][None])
        for each, metrics in sweep.items():
            metrics.update(answer_of(map_HW, each, min_area_px, sample.void_HW) & known_HW, truth_HW)
        counts = count_image(answer_HW, truth_HW, protocol)
        row = ImageRow(sample.image_id, counts, tuple(targets_of(sample.pixels_HW, answer_HW, truth_HW, protocol, sample.void_HW)))
        rows.append(row)
        if counts.union_px:
            heapq.heappush(worst, (-row.iou, next(ties), sample, answer_HW))
            if len(worst) > plan.num_worst:
                heapq.heappop(worst)
        report(number, len(samples))
    return ModelResult(
        name=label,
        digest=digest,
        threshold=threshold,
        protocol=protocol,
        cost=cost,
        rows=tuple(rows),
        curves=curves.compute(),
        sweep=tuple((each, metrics.compute()) for each, metrics in sweep.items()),
        worst=tuple(_worst_frame(sample, answer_HW, protocol) for _, _, sample, answer_HW in sorted(worst, key=lambda each: -each[0])),
    )


def costs_of(networks: Sequence[SegmentationModel], plan: EvaluationPlan) -> list[Cost]:
    """Size, multiply-adds and milliseconds of some networks, timed in turns."""
    models = [_prepared(network, plan) for network in networks]
    device = models[0].device
    return [
        Cost(
            parameters=num_parameters(network),
            gmacs=gmacs(network, FRAME_PX) * model.passes,
            input_px=FRAME_PX,
            latency_ms=float(np.median(times)),
            best_ms=times[0],
            device=device_name(device),
        )
        for network, model, times in zip(networks, models, latencies_ms(models, FRAME_PX, rounds=plan.rounds), strict=True)
    ]


def device_name(device: torch.device) -> str:
    """Words for what figures of time were taken on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {counted(torch.get_num_threads(), 'thread')}"


def _prepared(network: SegmentationModel, plan: EvaluationPlan) -> InferenceModel:
    return prepare(network, plan.device, flips=plan.flips)


def _worst_frame(sample: Sample, answer_HW: NDArray[np.bool_], protocol: Protocol) -> WorstFrame:
    truth_HW = sample.mask_HW > 0
    counts = count_image(answer_HW, truth_HW, protocol)
    words = [f"IoU {counts.intersection_px / counts.union_px:.2f}"]
    if counts.targets > counts.matched:
        words.append(f"{counts.targets - counts.matched} of {counts.targets} missed")
    if counts.predictions > counts.matched:
        words.append(f"{counts.predictions - counts.matched} false")
    return WorstFrame(sample.image_id, ", ".join(words), overlay(sample, answer_HW, truth_HW))
