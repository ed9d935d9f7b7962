"""Images of one's own: a folder with an index, wherever it is and whatever it is called."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from contracts.errors import SettingsError
from deploy.cli.main import main
from evaluation.segmentation import SegmentationMetrics
from models.card import ModelCard, read_card
from models.segmentation.base import SegmentationModel
from models.zoo import load_model
from training.augmentation.paste import cut_targets
from training.data.catalogue import KNOWN_SETS
from training.data.evaluation_set import evaluation_samples
from training.data.samples import Role, read_samples
from training.fit import fit_network
from training.recipes import plan_named
from training.tasks.measuring import choose_segmentation_threshold, measure_segmentation, overlap

BOX = [10, 12, 4, 4]


def write_own(folder: Path, entries: Sequence[Mapping[str, object]], mask_value: int = 255) -> None:
    """An image and a mask for each entry; the mask stays null where the entry says so."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = []
    for entry in entries:
        name = f"{entry['id']}.png"
        pixels, mask = np.full((48, 40), 90, np.uint8), np.zeros((48, 40), np.uint8)
        pixels[12:16, 10:14], mask[12:16, 10:14] = 200, mask_value
        cv2.imwrite(str(folder / "images" / name), pixels)
        cv2.imwrite(str(folder / "masks" / name), mask)
        lines.append(json.dumps({"file": f"images/{name}", "mask": f"masks/{name}", "boxes": [BOX], **entry}))
    (folder / "index.jsonl").write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize("name", [*KNOWN_SETS, "mine"])
def test_the_name_of_a_folder_of_ones_own_means_nothing(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "work" / name
    write_own(folder, [{"id": str(number), "classes": [2]} for number in range(20)])
    for samples in (evaluation_samples(str(folder)), read_samples([str(folder)], Role.TRAIN)):
        assert len(samples) == 20
        assert {label for sample in samples for label in sample.labels} == {"target"}
        assert {sample.dataset for sample in samples} == {str(folder)}, "the key by which its share is looked up"


def test_splits_and_labels_of_ones_own_are_kept(tmp_path: Path) -> None:
    splits = {"a": "train", "b": "val", "c": "test", "d": None}
    write_own(tmp_path / "mine", [{"id": name, "split": split, "labels": ["ignore"]} for name, split in splits.items()])
    by_role = {role: read_samples([str(tmp_path / "mine")], role) for role in Role}
    assert {role: [sample.image_id for sample in samples] for role, samples in by_role.items()} == {
        Role.TRAIN: ["a", "d"],
        Role.SELECT: ["b"],
        Role.TEST: ["c"],
    }
    assert all(sample.ignored_N.all() for samples in by_role.values() for sample in samples)
    assert [sample.image_id for sample in evaluation_samples(str(tmp_path / "mine"))] == ["c"]


def test_a_missing_file_is_told_before_anything_begins(tmp_path: Path) -> None:
    write_own(tmp_path, [{"id": "a"}, {"id": "b", "split": "test"}, {"id": "c", "split": "test"}])
    (tmp_path / "masks" / "c.png").unlink()
    text = r"index\.jsonl: expected every image and mask that the index names, got 1 missing, first .*masks/c\.png"
    with pytest.raises(SettingsError, match=text):
        evaluation_samples(str(tmp_path))
    with pytest.raises(SettingsError, match=text):
        read_samples([str(tmp_path)], Role.TRAIN)


def test_a_folder_here_is_found_by_its_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_own(tmp_path / "hit-uav", [{"id": "a"}])
    for path in ("./hit-uav", "hit-uav/"):
        assert len(read_samples([path], Role.TRAIN, tmp_path / "data")) == 1
    with pytest.raises(SettingsError, match=r"expected a data set, got no index.*Write \./hit-uav for the folder here"):
        read_samples(["hit-uav"], Role.TRAIN, tmp_path / "data")


def test_a_folder_without_images_to_learn_from_is_told(tmp_path: Path) -> None:
    write_own(tmp_path / "mine", [{"id": "a", "split": "test"}])
    with pytest.raises(SettingsError, match=r"data set .*mine: expected images to learn from \(split train, or none\), got none"):
        read_samples([str(tmp_path / "mine")], Role.TRAIN)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("nudt_sirst", r"Did you mean 'nudt-sirst'\?.*IRSTREAM_DATA", id="typo"),
        pytest.param("elsewhere/mine", r"IRSTREAM_DATA", id="no such folder"),
    ],
)
def test_an_unknown_name_lists_what_there_is(name: str, text: str, tmp_path: Path) -> None:
    known = "nudt-sirst, irstd-1k, sirst-v2, hit-uav, drone-ir, drone-ir-clips, synthetic"
    with pytest.raises(SettingsError, match=rf"expected one of {known}, or a folder with an index\.jsonl, got '{name}'\. .*{text}"):
        read_samples([name], Role.TRAIN, tmp_path)
    with pytest.raises(SettingsError, match=rf"expected one of nudt-sirst, irstd-1k, sirst-v2, synthetic, or a folder.*{text}"):
        evaluation_samples(name)


def test_a_folder_without_an_index_is_not_called_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"a folder without it"):
        read_samples([str(tmp_path)], Role.TRAIN, tmp_path)


def test_boxes_whose_mask_is_empty_are_told(tmp_path: Path) -> None:
    write_own(tmp_path, [{"id": "a"}], mask_value=0)
    with pytest.raises(SettingsError, match=r"masks/a\.png: expected target pixels: image a has 1 boxes, got an empty mask\. .*null"):
        evaluation_samples(str(tmp_path))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"boxes": []}, id="background"),
        pytest.param({"labels": ["ignore"]}, id="ignored"),
    ],
)
def test_an_empty_mask_without_targets_is_fine(entry: dict[str, object], tmp_path: Path) -> None:
    write_own(tmp_path, [{"id": "a", **entry}], mask_value=0)
    assert len(evaluation_samples(str(tmp_path))) == 1


def test_boxes_without_any_mask_cannot_be_measured(tmp_path: Path) -> None:
    write_own(tmp_path / "boxes", [{"id": "a", "mask": None}])
    with pytest.raises(SettingsError, match=r"data set .*boxes: expected at least one image with a mask, got none in .*boxes"):
        evaluation_samples(str(tmp_path / "boxes"))
    write_own(tmp_path / "background", [{"id": "a", "mask": None, "boxes": []}])
    assert len(evaluation_samples(str(tmp_path / "background"))) == 1


def test_targets_without_a_mask_count_neither_way(tmp_path: Path) -> None:
    write_own(tmp_path, [{"id": "a"}, {"id": "b", "mask": None}])
    drawn, boxed = evaluation_samples(str(tmp_path))
    assert (drawn.mask_HW.sum(), drawn.unknown_HW.sum()) == (16, 0)
    assert (boxed.mask_HW.sum(), boxed.unknown_HW.sum()) == (0, 16)


def train_own(folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[ModelCard, str]:
    """The card of a very short training, and what was told beside it."""
    options = ("--data", str(folder), "--crop-px", "32", "--batch-size", "4", "--epochs", "1", "--out", str(out), "--json")
    with pytest.raises(SystemExit) as ended:
        main(["train", "acm", *options])
    told = capsys.readouterr()
    assert ended.value.code in (0, None), told.err
    return read_card(Path(json.loads(told.out)["weights"]).with_suffix(".json")), " ".join(told.err.split())


@pytest.mark.slow
def test_training_on_ones_own_chooses_and_measures_on_its_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 3
    write_own(tmp_path / "mine", [{"id": str(number), "split": split} for number, split in enumerate(splits)])
    card, told = train_own(tmp_path / "mine", tmp_path / "run", capsys)
    assert [measured.data for measured in card.measured] == [f"{tmp_path / 'mine'} test (3 images)"]
    assert card.measured[0].values["targets"] == 3
    assert card.measured[0].command == f"irstream evaluate {tmp_path / 'run' / 'weights.safetensors'} {tmp_path / 'mine'}"
    assert "threshold stays" not in told


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_damaged_held_out_mask_is_told_before_training(split: str, tmp_path: Path) -> None:
    write_own(tmp_path / "mine", [*({"id": str(number)} for number in range(4)), {"id": "late", "split": split}])
    (tmp_path / "mine" / "masks" / "late.png").write_bytes(b"no picture")
    plan = plan_named("ours", [str(tmp_path / "mine")], 1)
    with pytest.raises(SettingsError, match=r"masks/late\.png"):
        fit_network("acm", plan, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_held_out_mask_of_background_is_looked_at_before_training_too(split: str, tmp_path: Path) -> None:
    write_own(tmp_path / "mine", [*({"id": str(number)} for number in range(4)), {"id": "late", "split": split, "boxes": []}])
    cv2.imwrite(str(tmp_path / "mine" / "masks" / "late.png"), np.zeros((10, 10), np.uint8))
    with pytest.raises(SettingsError, match=r"a mask of the size of its image, 40 x 48 px.*got 10 x 10 px"):
        fit_network("acm", plan_named("ours", [str(tmp_path / "mine")], 1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_masks_without_boxes_teach_as_well(tmp_path: Path) -> None:
    write_own(tmp_path / "mine", [{"id": str(number), "boxes": []} for number in range(4)])
    two = np.zeros((48, 40), np.uint8)
    two[12:16, 10:14] = two[16, 14] = two[40:43, 20:22] = 255
    cv2.imwrite(str(tmp_path / "mine" / "masks" / "1.png"), two)
    cv2.imwrite(str(tmp_path / "mine" / "masks" / "2.png"), np.zeros((48, 40), np.uint8))
    samples = read_samples([str(tmp_path / "mine")], Role.TRAIN)
    assert [sample.boxes_xyxy_px.tolist() for sample in samples] == [
        [[10, 12, 14, 16]],
        [[10, 12, 15, 17], [20, 40, 22, 43]],
        [],
        [[10, 12, 14, 16]],
    ]
    assert [len(sample.labels) for sample in samples] == [1, 2, 0, 1]
    assert all((sample.unknown_HW == 0).all() for sample in samples)
    assert len(cut_targets(samples)) == 4


def test_a_set_without_targets_does_not_choose() -> None:
    found, quiet = SegmentationMetrics(), SegmentationMetrics()
    truth = np.zeros((8, 8), bool)
    quiet.update(truth, truth)
    assert math.isnan(overlap([]))
    assert math.isnan(overlap([quiet]))
    truth[2:4, 2:4] = True
    found.update(truth & (np.arange(8) < 3), truth)
    assert overlap([quiet, found]) == overlap([found]) == pytest.approx(0.5)


@pytest.mark.slow
def test_the_command_on_a_card_measures_again_where_the_folder_lies_beside_the_known_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_own(tmp_path / "sets" / "mine", [*({"id": str(number)} for number in range(4)), {"id": "last", "split": "test"}])
    monkeypatch.setenv("IRSTREAM_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    card, _ = train_own(Path("mine"), tmp_path / "run", capsys)
    _, *command = card.measured[0].command.split()
    assert command[0] == "evaluate"
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    assert "1 test images of mine, 1 targets" in capsys.readouterr().out


@pytest.mark.slow
def test_without_held_out_images_the_threshold_stays_and_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_own(tmp_path / "mine", [{"id": str(number)} for number in range(6)])
    card, told = train_own(tmp_path / "mine", tmp_path / "run", capsys)
    assert card.measured == ()
    assert card.postprocess["threshold"] == 0.5
    assert "threshold stays 0.5: no held-out images with masks (split val)" in told


@pytest.mark.slow
def test_the_threshold_is_the_best_on_ones_own_held_out_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, _ = load_model("acm")
    assert isinstance(network, SegmentationModel)
    folder = str(tmp_path / "mine")
    write_own(tmp_path / "mine", [{"id": str(number), "split": "val"} for number in range(2)])
    chosen = choose_segmentation_threshold(network, [folder])
    quality = {}
    for threshold in (0.3, 0.5, 0.7, 0.85, 0.96, chosen["threshold"]):
        network.configure({"threshold": threshold, "min_area_px": 1})
        (measured,) = measure_segmentation(network, Role.SELECT, "", [folder])
        quality[threshold] = measured.values["iou"] + measured.values["niou"]
    assert quality[chosen["threshold"]] == max(quality.values())
    assert quality[chosen["threshold"]] > 0
    write_own(tmp_path / "boxes", [{"id": "a", "mask": None, "split": "val"}])
    assert choose_segmentation_threshold(network, [str(tmp_path / "boxes")]) == network.settings.model_dump()
    assert "no held-out images with masks (split val)" in capsys.readouterr().err


def test_the_example_of_the_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    section = page.split("## Your own images\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    entries = [json.loads(line) for line in example.splitlines()]
    write_own(tmp_path, entries)
    assert (tmp_path / "masks" / "ship-1.png").is_file()
    (tmp_path / "index.jsonl").write_text(example, encoding="utf-8")
    (tested,) = evaluation_samples(str(tmp_path))
    (learnt,) = read_samples([str(tmp_path)], Role.TRAIN)
    assert (tested.image_id, tested.mask_HW.sum(), tested.boxes_xyxy_px.tolist()) == ("ship-1", 16, [[10, 12, 14, 16]])
    assert (learnt.image_id, learnt.mask_HW.sum(), learnt.unknown_HW.sum()) == ("ship-2", 0, 30)
    commands = re.findall(r"^\$ irstream (\w+) (?:acm|kestrel) (.*)$", section, re.MULTILINE)
    assert [name for name, _ in commands] == ["evaluate", "train", "train"]
    assert all("path/to/folder" in rest for _, rest in commands)
