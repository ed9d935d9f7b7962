"""Choose the map of a segmenter's scores on held-out images, half of them changed as other cameras and links change a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from contracts.errors import SettingsError
from evaluation.found import FoundMetrics
from evaluation.perturbations import PERTURBATIONS, LabelledFrame, perturbed
from evaluation.score_fit import fit_score_map
from models.inference import prepare
from models.regions import regions_of
from models.scores import ScoreMap
from models.segmentation.base import SegmentationModel
from models.zoo import AnyModel
from training.data.label_files import boxes_of_regions
from training.data.samples import Role, Sample, read_samples
from training.tasks.measuring import Device, Report, boxes_of, mask_sets, no_report, probability_maps

# Nothing is found where hot and cold change places, and a flaw of the camera it is not.
_CHANGES = tuple(name for name in PERTURBATIONS if name != "inverted")


def choose_score_map(
    network: AnyModel, sets: Sequence[str] | None = None, *, device: Device = "cpu", report: Report = no_report
) -> ScoreMap:
    """The map that fits the regions of `select` images at the network's threshold; the one it has where there are too few.

    Each image counts as it is, and once more with one of the changes of `evaluation.perturbations`, drawn by its name: scores of a
    camera's untouched frames alone are too sure of themselves elsewhere.

    Args:
        network: with its threshold configured.
        sets: data sets, those with masks count; None for all known ones.
        device: where to compute.
        report: gets the number of images done and of all.

    Raises:
        SettingsError: no segmenter.
    """
    if not isinstance(network, SegmentationModel):
        raise SettingsError(
            expected="a segmenter",
            got=f"{network.task} network {network.name}",
            where="`network`",
            action="irstream models list names them.",
        )
    samples = [sample for sample in read_samples(mask_sets(sets), Role.SELECT) if sample.has_mask]
    model, how, found = prepare(network, device), network.settings, FoundMetrics()
    for number, sample in enumerate(samples, start=1):
        for given, map_HW in probability_maps(model, [sample, *_changed(sample)]):
            regions = regions_of(map_HW, how.threshold, how.min_area_px, pixels_HW=given.pixels_HW, void_HW=given.void_HW)
            found.update(regions.centroids_xy_px, regions.scores, *boxes_of(given))
        report(number, len(samples))
    return fit_score_map(found.scores_N, found.hits_N) or how.score_map


def _changed(sample: Sample) -> Iterator[Sample]:
    """The sample after a change, the same whenever asked; nothing for frames of other than 8 bits."""
    counts_HW: Any = sample.pixels_HW
    if counts_HW.dtype != np.uint8 or sample.bit_depth != 8:
        return
    name = _CHANGES[crc32(sample.image_id.encode()) % len(_CHANGES)]
    frame = perturbed(name, LabelledFrame(counts_HW, 8, sample.mask_HW > 0, sample.unknown_HW > 0), sample.image_id)
    targets_N4, unknown_K4 = (boxes_of_regions(part_HW.astype(np.uint8)) for part_HW in (frame.mask_HW, frame.unknown_HW))
    yield replace(
        sample,
        read_pixels=lambda: frame.counts_HW,
        bit_depth=frame.bit_depth,
        boxes_xyxy_px=np.concatenate([targets_N4, unknown_K4]),
        labels=("target",) * len(targets_N4) + ("ignore",) * len(unknown_K4),
    )
