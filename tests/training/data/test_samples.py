"""Reading the labelled images: roles never mix, coordinates are pixel edges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from contracts.errors import SettingsError
from contracts.frame import Band
from contracts.image_files import read_counts
from synthetic.camera import SyntheticCamera
from synthetic.dataset import plans, write_dataset
from synthetic.settings import Scene
from training.data.catalogue import BOX_SETS, KNOWN, KNOWN_SETS, SEGMENTATION_SETS, UNSEEN_SETS
from training.data.mask_checks import refuse_empty_masks
from training.data.samples import Role, read_folder, read_samples


def write_set(root: Path, dataset: str, entries: Sequence[Mapping[str, object]]) -> None:
    folder = root / dataset
    (folder / "images").mkdir(parents=True)
    with (folder / "index.jsonl").open("w") as index:
        for entry in entries:
            cv2.imwrite(str(folder / f"images/{entry['id']}.png"), np.full((20, 30), 9, np.uint8))
            index.write(json.dumps({"file": f"images/{entry['id']}.png", "mask": None, "platform": None, "band": None, **entry}) + "\n")


def test_official_splits_decide_and_training_images_are_held_out_by_name(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(60)]
    write_set(
        tmp_path,
        "nudt-sirst",
        [{"id": name, "split": "train", "boxes": []} for name in names] + [{"id": "t", "split": "test", "boxes": []}],
    )
    roles = {role: {sample.image_id for sample in read_samples(["nudt-sirst"], role, tmp_path)} for role in Role}
    assert roles[Role.TEST] == {"t"}
    assert roles[Role.TRAIN] | roles[Role.SELECT] == set(names)
    assert not roles[Role.TRAIN] & roles[Role.SELECT]
    assert 1 <= len(roles[Role.SELECT]) <= 15


def test_frames_of_one_clip_share_a_role(tmp_path: Path) -> None:
    entries = [
        {"id": f"c{clip}_f{frame}", "clip": f"c{clip}", "split": "train", "boxes": [[1, 2, 3, 4]], "classes": [1]}
        for clip in range(30)
        for frame in range(3)
    ]
    write_set(tmp_path, "drone-ir", entries)
    clips = [{sample.image_id.split("_")[0] for sample in read_samples(["drone-ir"], role, tmp_path)} for role in (Role.TRAIN, Role.SELECT)]
    assert all(clips)
    assert not clips[0] & clips[1]


def test_boxes_labels_and_pixels(tmp_path: Path) -> None:
    write_set(tmp_path, "hit-uav", [{"id": "x", "split": "test", "boxes": [[1, 2, 3, 4], [0, 0, 5, 5]], "classes": [3, 4]}])
    (sample,) = read_samples(["hit-uav"], Role.TEST, tmp_path)
    np.testing.assert_array_equal(sample.boxes_xyxy_px, [[1, 2, 4, 6], [0, 0, 5, 5]])
    assert sample.labels == ("other_vehicle", "ignore")
    assert sample.pixels_HW.shape == sample.mask_HW.shape == (20, 30)
    assert not sample.mask_HW.any()
    np.testing.assert_array_equal(sample.normalised(), 0)


def test_missing_set_and_missing_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"irstd-1k.*IRSTREAM_DATA"):
        read_samples(["irstd-1k"], Role.TRAIN, tmp_path)
    write_set(tmp_path, "hit-uav", [{"id": "x", "split": "test", "boxes": [], "classes": []}])
    (tmp_path / "hit-uav/images/x.png").unlink()
    with pytest.raises(SettingsError, match=r"index\.jsonl: expected every image and mask .*1 missing, first .*images/x\.png"):
        read_samples(["hit-uav"], Role.TEST, tmp_path)


@pytest.mark.slow
def test_the_real_sets_have_disjoint_roles(shared_data: Path) -> None:
    by_role = {role: read_samples(BOX_SETS, role, shared_data) for role in Role}
    names = [{(sample.dataset, sample.image_id) for sample in samples} for samples in by_role.values()]
    assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])
    measured_clips = {
        sample.image_id.rsplit("_f", 1)[0] for role in (Role.SELECT, Role.TEST) for sample in by_role[role] if sample.dataset == "drone-ir"
    }
    learnt_clips = {
        sample.image_id.rsplit("_f", 1)[0] for sample in by_role[Role.TRAIN] if sample.dataset in ("drone-ir", "drone-ir-clips")
    }
    assert measured_clips
    assert learnt_clips
    assert not measured_clips & learnt_clips


def test_real_masks_and_boxes_agree(shared_data: Path) -> None:
    for sample in read_samples(SEGMENTATION_SETS, Role.TEST, shared_data)[::60]:
        assert sample.mask_HW.shape == sample.pixels_HW.shape
        for x_min, y_min, x_max, y_max in sample.boxes_xyxy_px.astype(int):
            region = sample.mask_HW[y_min:y_max, x_min:x_max]
            assert region.any(0).all() or region.any(1).all()


@pytest.mark.slow
def test_every_real_mask_is_what_lies_above_the_middle_of_its_range(shared_data: Path) -> None:
    for sample in [sample for role in Role for sample in read_samples(SEGMENTATION_SETS, role, shared_data)][::20]:
        if sample.mask_path is not None:
            np.testing.assert_array_equal(sample.mask_HW, read_counts(sample.mask_path) > 127)


@pytest.mark.slow
def test_our_synthetic_set_reads_back_as_the_camera_made_it(tmp_path: Path) -> None:
    chosen = [plan for plan in plans() if plan.settings.bit_depth == 12 and plan.settings.height_px == 256][:2]
    assert write_dataset(tmp_path / "synthetic", chosen, frames_of_camera=2) == 4
    samples = [sample for role in Role for sample in read_samples(["synthetic"], role, tmp_path)]
    by_path = {sample.image_id: sample.labels for sample in read_folder(tmp_path / "synthetic")}
    assert [sample.image_id for sample in samples] == [f"{plan.name}-{index}" for plan in chosen for index in range(2)]
    for sample, (plan, index) in zip(samples, [(plan, index) for plan in chosen for index in range(2)], strict=True):
        frame = SyntheticCamera(plan.settings).frame(index)
        np.testing.assert_array_equal(sample.pixels_HW, frame.pixels_HW)
        assert sample.bit_depth == 12
        assert sample.labels == by_path[sample.image_id]
        assert [tuple(box) for box in sample.boxes_xyxy_px] == [target.box_xyxy_px for target in frame.truth.targets]
        # Every target pixel is either known to be one or unknown.
        assert ((sample.mask_HW | sample.unknown_HW)[frame.truth.any_HW] == 1).all()
        assert not sample.mask_HW[~frame.truth.any_HW].any()


def test_splits_of_the_synthetic_set_share_no_camera() -> None:
    seeds = {split: {plan.settings.seed for plan in plans() if plan.split == split} for split in ("train", "val", "test")}
    assert sum(len(group) for group in seeds.values()) == len(set().union(*seeds.values())) == len(list(plans()))
    for split in seeds:
        assert {(plan.settings.scene, plan.settings.band) for plan in plans() if plan.split == split} == {
            (scene, band) for scene in Scene for band in (Band.LWIR, Band.MWIR)
        }


@pytest.mark.slow
def test_no_real_image_has_boxes_and_an_empty_mask(shared_data: Path) -> None:
    for dataset in SEGMENTATION_SETS:
        samples = [sample for role in Role for sample in read_samples([dataset], role, shared_data)][::10]
        with_boxes = [sample for sample in samples if len(sample.boxes_xyxy_px)]
        assert with_boxes
        assert [sample.image_id for sample in with_boxes if not sample.mask_HW.any()] == []
        refuse_empty_masks(samples)


@pytest.mark.usefixtures("made_data")
def test_clips_are_decoded_for_learning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_samples(("drone-ir-clips",), Role.TRAIN)

    def decoded(*arguments: object) -> None:
        pytest.fail("a clip was decoded")

    monkeypatch.setattr("training.data.samples.clip_samples", decoded)
    assert read_samples(("drone-ir-clips",), Role.SELECT) == read_samples(("drone-ir-clips",), Role.TEST) == []


@pytest.mark.parametrize("dataset", UNSEEN_SETS)
def test_a_set_that_no_training_may_see_measures_only_whatever_its_index_says(dataset: str, tmp_path: Path) -> None:
    splits = ("unseen", "train", "trainval", "val", "test")
    write_set(tmp_path, dataset, [{"id": split, "split": split, "boxes": []} for split in splits])
    found = {role: [sample.image_id for sample in read_samples([dataset], role, tmp_path)] for role in Role}
    assert found == {Role.TRAIN: [], Role.SELECT: [], Role.TEST: list(splits)}


def test_images_that_nobody_labelled_are_no_images_without_targets(tmp_path: Path) -> None:
    entries: list[dict[str, object]] = [{"id": "none", "boxes": []}, {"id": "one", "boxes": [[1, 2, 3, 4]]}]
    entries += [{"id": "unknown", "boxes": None}, {"id": "left out"}]
    write_set(tmp_path, "mar-dct-ir", entries)
    assert [(sample.image_id, sample.labels) for sample in read_samples(["mar-dct-ir"], Role.TEST, tmp_path)] == [
        ("none", ()),
        ("one", ("vessel",)),
    ]


def test_images_of_a_folder_that_no_training_may_see_only_measure(tmp_path: Path) -> None:
    write_set(tmp_path, "mine", [{"id": "a", "split": "unseen", "boxes": []}, {"id": "b", "boxes": []}])
    roles = {sample.image_id: sample.role for sample in read_folder(tmp_path / "mine")}
    assert roles == {"a": Role.TEST, "b": Role.TRAIN}


@pytest.mark.parametrize("dataset", KNOWN_SETS)
def test_the_catalogue_says_of_every_real_set_whether_it_is_unseen(dataset: str, shared_data: Path) -> None:
    index = shared_data / dataset / "index.jsonl"
    if not index.is_file():
        assert dataset in ("synthetic", "drone-ir-clips", "misb-klv")
        return
    splits = {json.loads(line)["split"] for line in index.read_text().splitlines()}
    assert ("unseen" in splits) == KNOWN[dataset].unseen


@pytest.mark.parametrize("dataset", ["irstd-1k", "drone-ir-clips"])
def test_without_a_folder_of_data_sets_the_variable_is_named_and_no_path_that_nobody_wrote(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("IRSTREAM_DATA", raising=False)
    write_set(tmp_path / "shared" / "data", "drone-ir", [{"id": "a", "split": "train", "boxes": []}])
    with pytest.raises(
        SettingsError, match=r"got no folder that has it: IRSTREAM_DATA is not set\. Set IRSTREAM_DATA to the folder"
    ) as told:
        read_samples([dataset], Role.TRAIN)
    assert told.value.where == dataset
    assert ".." not in str(told.value)
