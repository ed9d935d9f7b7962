"""Crops that a detector learns from: kinds and classes of boxes, boxes beside the light, and what changes a crop."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.outputs import Detections
from contracts.result import CLASS_NAMES
from evaluation.detection import DetectionMetrics
from training.augmentation.camera import Flaws
from training.data.samples import Role, Sample
from training.tasks.detection import IGNORED, LOOSE, TARGET, UNKNOWN_CLASS, DetectionBatches, DetectionRecipe, truths_of
from training.tasks.measuring import count_overlaps, tight_boxes_of

SIDE_PX = 64
LOOSE_LABEL, SEEN = [20.0, 20, 44, 40], [30.0, 28, 34, 31]


def sample_of(dataset: str, pixels: NDArray[np.uint8], boxes: list[list[float]], labels: tuple[str, ...]) -> Sample:
    mask = (pixels > 150).astype(np.uint8)
    return Sample(
        dataset=dataset,
        image_id="a",
        role=Role.TRAIN,
        read_pixels=partial(np.copy, pixels),
        mask_path=None,
        boxes_xyxy_px=np.array(boxes, np.float32),
        labels=labels,
        read_mask=partial(np.copy, mask) if dataset == "nudt-sirst" else None,
    )


def sky(*bright: list[float]) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(1).integers(88, 92, (SIDE_PX, SIDE_PX)).astype(np.uint8)
    for x0, y0, x1, y1 in bright:
        pixels[int(y0) : int(y1), int(x0) : int(x1)] = 220
    return pixels


def recipe_of(dataset: str, **other: object) -> DetectionRecipe:
    plain = DetectionRecipe(crop_px=SIDE_PX, batch_size=8, shares={dataset: 1.0}, scale=(1.0, 1.0))
    return replace(plain, **other)  # type: ignore[arg-type]  # names of its fields


def test_boxes_of_a_loose_set_are_those_of_what_is_seen_and_else_teach_no_size() -> None:
    faint = [2.0, 46, 20, 62]
    sample = sample_of("drone-ir", sky(SEEN), [LOOSE_LABEL, faint, [50.0, 2, 62, 12]], ("drone", "bird", "ignore"))
    assert sample.tight_boxes_xyxy_px.tolist() == [SEEN, faint, [50, 2, 62, 12]]
    assert sample.loose_N.tolist() == [False, True, False]
    batch = next(DetectionBatches([sample], recipe_of("drone-ir", target_probability=0.0)).batches())
    _, kinds_BM, classes_BM = batch.targets
    assert kinds_BM.tolist() == [[TARGET, LOOSE, IGNORED]] * 8
    assert classes_BM.tolist() == [[CLASS_NAMES.index("drone"), CLASS_NAMES.index("bird"), UNKNOWN_CLASS]] * 8
    truth = truths_of(batch)[0]
    assert truth.loose_M.tolist() == [False, True]
    assert sorted((truth.boxes_M4[0, 2:] - truth.boxes_M4[0, :2]).tolist()) == [3, 4]
    as_labelled = next(DetectionBatches([sample], recipe_of("drone-ir", tight=False)).batches())
    assert as_labelled.targets[1].tolist() == [[TARGET, TARGET, IGNORED]] * 8


def test_other_sets_keep_their_boxes() -> None:
    sample = sample_of("hit-uav", sky(SEEN), [LOOSE_LABEL], ("car",))
    assert sample.tight_boxes_xyxy_px.tolist() == [LOOSE_LABEL]
    assert not sample.loose_N.any()


@pytest.mark.parametrize(("keep", "offsets"), [(True, {0.5}), (False, {0.5, -0.5})], ids=["kept", "as flipped"])
def test_boxes_beside_the_light_stay_on_the_same_side_of_it(keep: bool, offsets: set[float]) -> None:
    # The mask, and its box, lie half a pixel left of and above the light: 16 px are of the sizes for which NUDT-SIRST draws them so.
    light_x, light_y = 24.5, 47.5
    sample = sample_of("nudt-sirst", sky([22, 45, 26, 49]), [[22.0, 45, 26, 49]], ("target",))
    batches = DetectionBatches([sample], recipe_of("nudt-sirst", keep_offsets=keep, target_probability=0.0))
    seen = set()
    for batch in (each for _, each in zip(range(4), batches.batches(), strict=False)):
        for x0, y0, x1, y1 in batch.targets[0][:, 0].tolist():
            middles = ((x0 + x1) / 2, (y0 + y1) / 2)
            lights = [(a, b) for a in (light_x, SIDE_PX - light_x) for b in (light_y, SIDE_PX - light_y)]
            nearest = min((x, y) for light in lights for x, y in [light, light[::-1]] if abs(x - middles[0]) + abs(y - middles[1]) < 2)
            seen |= {nearest[0] - middles[0], nearest[1] - middles[1]}
    assert seen == offsets


def test_flaws_and_scale_change_the_crop_and_the_boxes_follow() -> None:
    sample = sample_of("hit-uav", sky([20, 20, 36, 36]), [[20.0, 20, 36, 36]], ("car",))
    plain = next(DetectionBatches([sample], recipe_of("hit-uav", target_probability=1.0)).batches())
    spoilt = next(DetectionBatches([sample], recipe_of("hit-uav", target_probability=1.0, flaws=Flaws(probability=1.0))).batches())
    assert not np.allclose(plain.pixels_B1HW, spoilt.pixels_B1HW, atol=0.5)
    scaled = next(DetectionBatches([sample], recipe_of("hit-uav", target_probability=1.0, scale=(0.5, 1.5))).batches())
    for pixels_HW, box, kind in zip(scaled.pixels_B1HW[:, 0], scaled.targets[0][:, 0].tolist(), scaled.targets[1][:, 0], strict=True):
        x0, y0, x1, y1 = (round(edge) for edge in box)
        if kind == TARGET:
            assert pixels_HW[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].min() > 2 > pixels_HW.median()
    sides = {round(x1 - x0) for x0, _, x1, _ in scaled.targets[0][:, 0].tolist()}
    assert min(sides) < 16 < max(sides)


def test_overlaps_are_counted_by_the_one_convention_and_leave_out_what_has_no_size() -> None:
    faint = [2.0, 46, 20, 62]
    sample = sample_of("drone-ir", sky(SEEN), [LOOSE_LABEL, faint], ("drone", "bird"))
    targets_N4, ignored_K4, placed_L4 = tight_boxes_of(sample)
    assert (targets_N4.tolist(), ignored_K4.tolist(), placed_L4.tolist()) == ([SEEN], [], [faint])
    metric = DetectionMetrics()
    found = np.array([SEEN, [8, 50, 12, 54]], np.float32)
    count_overlaps(metric, sample, Detections(found, np.array([0.5, 0.9], np.float32)))
    scores = metric.compute()
    assert (scores.ap, scores.num_targets, scores.num_detections) == (1, 1, 1)
