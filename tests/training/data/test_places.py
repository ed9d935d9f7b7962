"""Places of drone-ir's clips: what is measured shows no place that is learnt or chosen from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contracts.dataset_index import read_entries
from tests.training.data.test_samples import write_set
from training.data.near_duplicates import Clusters, near_pairs, thumbnail_of
from training.data.places import NEAR_PLACES, place_of
from training.data.samples import Role, Sample, read_folder, read_samples


def clip_of(sample: Sample) -> str:
    return sample.image_id.rsplit("_f", 1)[0] + ".mp4"


def test_clips_of_a_measured_place_are_left_out(tmp_path: Path) -> None:
    clips = {"IR_AIRPLANE_031.mp4": "train", "IR_AIRPLANE_032.mp4": "val", "IR_AIRPLANE_052.mp4": "train", "IR_AIRPLANE_053.mp4": "train"}
    entries = [
        {"id": f"{clip[:-4]}_f1", "clip": clip, "split": split, "boxes": [[1, 2, 8, 4]], "classes": [0]} for clip, split in clips.items()
    ]
    write_set(tmp_path, "drone-ir", entries)
    roles = {clip_of(sample): role for role in Role for sample in read_samples(["drone-ir"], role, tmp_path)}
    assert roles.keys() == clips.keys() - {"IR_AIRPLANE_031.mp4"}
    assert roles["IR_AIRPLANE_032.mp4"] is Role.TEST
    assert roles["IR_AIRPLANE_052.mp4"] is roles["IR_AIRPLANE_053.mp4"]
    assert place_of("IR_AIRPLANE_053.mp4") == place_of("IR_AIRPLANE_052.mp4") != place_of("another.mp4") == "another.mp4"


def test_the_places_are_those_that_the_pictures_show(shared_data: Path) -> None:
    images = read_folder(shared_data / "drone-ir", "frames")
    clips = [entry.clip or "" for entry in read_entries(shared_data / "drone-ir" / "index.jsonl")]
    names = sorted(set(clips))
    number_N, clusters = np.array([names.index(clip) for clip in clips]), Clusters(len(names))
    for pairs in near_pairs([thumbnail_of(sample.pixels_HW) for sample in images], NEAR_PLACES):
        clusters.join(number_N[pairs.first_M], number_N[pairs.second_M])
    found = {name: names[first] for name, first in zip(names, clusters.of_N, strict=True)}
    assert found == {name: place_of(name) for name in names}
    by_role = {role: {place_of(clip_of(sample)) for sample in read_samples(["drone-ir"], role, shared_data)} for role in Role}
    assert len(by_role[Role.TEST]) == 16
    assert not by_role[Role.TEST] & (by_role[Role.TRAIN] | by_role[Role.SELECT])
    assert not by_role[Role.TRAIN] & by_role[Role.SELECT]
