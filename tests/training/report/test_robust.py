"""The suite `robust`: its images, its figures against those of the single parts, its page and its command."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from contracts.errors import SettingsError
from deploy.cli.main import main
from evaluation.found import FoundMetrics
from evaluation.perturbations import PERTURBATIONS, LabelledFrame, perturbed
from evaluation.robustness import UNTOUCHED, RobustResult, robust_table
from evaluation.segmentation import SegmentationMetrics
from models.inference import prepare
from models.normalisation import fill
from models.regions import answer_of, regions_of
from models.segmentation.base import SegmentationModel
from models.transforms import normalise
from models.zoo import load_model
from tests.training.made_sets import SIDE_PX, write_made_sets
from training.data.catalogue import SEGMENTATION_SETS
from training.data.evaluation_set import evaluation_samples
from training.data.robust_sets import FOREIGN_SETS, ROBUST_SETS, has_learnt, robust_sets
from training.data.samples import Role
from training.report.robust import LOWEST, RobustPlan, num_frames, run_suite
from training.tasks.measuring import measure_segmentation, run_frame

pytestmark = pytest.mark.slow
CHANGES = ("crop 3, 5 px", "noise 3", "14 bit, hot pixels 10")


def write_foreign(root: Path, name: str, bits: int) -> None:
    """Four frames: two with a target, one without any, and one that nobody labelled."""
    folder = root / name
    (folder / "images").mkdir(parents=True)
    rng, lines = np.random.default_rng(bits), []
    for number, boxes in enumerate([[[20, 30, 8, 6]], [[40, 10, 8, 6]], [], None]):
        counts_HW = rng.normal(90, 3, (SIDE_PX, SIDE_PX))
        for left, top, width, height in boxes or [[5, 5, 8, 6]] * (boxes is None):
            counts_HW[top : top + height, left : left + width] += 90
        kind = np.uint8 if bits == 8 else np.uint16
        cv2.imwrite(str(folder / "images" / f"f{number}.png"), counts_HW.astype(kind))
        lines.append(
            {"id": f"f{number}", "file": f"images/f{number}.png", "split": "unseen", "bit_depth": bits, "boxes": boxes, "mask": None}
        )
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def whole_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    write_made_sets(root)
    for name, bits in zip(FOREIGN_SETS, (8, 16), strict=True):
        write_foreign(root, name, bits)
    return root


@pytest.fixture(autouse=True)
def data(whole_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRSTREAM_DATA", str(whole_root))


def segmenter(name: str = "acm") -> SegmentationModel:
    network, _ = load_model(name)
    assert isinstance(network, SegmentationModel)
    return network


@pytest.fixture(scope="module")
def result(whole_root: Path) -> RobustResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRSTREAM_DATA", str(whole_root))
        sets, _ = robust_sets()
        return run_suite(segmenter(), "acm", load_model("acm")[1], sets, RobustPlan(changes=CHANGES), lambda *_: None)


def test_every_set_brings_its_test_images_and_no_unlabelled_frame() -> None:
    sets, missing = robust_sets()
    assert (tuple(each.name for each in sets), missing) == (ROBUST_SETS, [])
    assert {each.name: len(each.samples) for each in sets if each.name in FOREIGN_SETS} == dict.fromkeys(FOREIGN_SETS, 3)
    assert {sample.image_id for each in sets if each.name in FOREIGN_SETS for sample in each.samples} == {"f0", "f1", "f2"}
    assert {sample.role for each in sets for sample in each.samples} == {Role.TEST}
    assert [each.name for each in sets if each.has_masks] == list(SEGMENTATION_SETS)
    halved, _ = robust_sets(every=2)
    assert [len(each.samples) for each in halved] == [math.ceil(len(each.samples) / 2) for each in sets]


def test_sets_that_are_missing_are_named_and_none_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRSTREAM_DATA", str(tmp_path))
    with pytest.raises(SettingsError, match="at least one of nudt-sirst"):
        robust_sets()
    write_foreign(tmp_path, FOREIGN_SETS[1], 16)
    sets, missing = robust_sets()
    assert [each.name for each in sets] == [FOREIGN_SETS[1]]
    assert missing == [name for name in ROBUST_SETS if name != FOREIGN_SETS[1]]


def test_what_was_learnt_from_is_read_off_the_card() -> None:
    _, card = load_model("acm")
    assert has_learnt(card, "nudt-sirst")
    assert not has_learnt(card, "mar-dct-ir")
    clips = card.model_copy(update={"data": "drone-ir-clips (training splits)"})
    assert has_learnt(clips, "drone-ir"), "frames of the same recordings"
    assert not has_learnt(clips, "nudt-sirst")
    assert not has_learnt(card.model_copy(update={"data": "nothing"}), "nothing")


def test_untouched_figures_are_those_of_the_cards_own_measurement(result: RobustResult) -> None:
    measured = {each.data.split()[0]: each.values for each in measure_segmentation(segmenter(), Role.TEST, "")}
    for each in result.changed:
        figures = each.figures[UNTOUCHED]
        assert [figures[name].value for name in ("iou", "niou", "pd")] == pytest.approx(
            [measured[each.dataset][name] for name in ("iou", "niou", "pd")], abs=1e-4
        )


def test_changed_figures_are_those_of_the_changed_counts(result: RobustResult) -> None:
    network = segmenter()
    model = prepare(network)
    for change in CHANGES:
        metrics = SegmentationMetrics()
        for sample in evaluation_samples("nudt-sirst"):
            pixels_HW = np.asarray(sample.read_pixels(), np.uint8)
            after = perturbed(change, LabelledFrame(pixels_HW, 8, sample.mask_HW > 0, sample.unknown_HW > 0), sample.image_id)
            filled = fill(after.counts_HW.astype(np.uint16), after.bit_depth)
            counts_HW = filled.pixels_HW
            map_HW = network.probabilities(run_frame(model, normalise(counts_HW, filled.normalisation)))[
                0, : counts_HW.shape[0], : counts_HW.shape[1]
            ].numpy()
            metrics.update(answer_of(map_HW, network.settings.threshold), after.mask_HW)
        scores, (changed, *_) = metrics.compute(), result.changed
        assert changed.figures[change]["niou"].value == pytest.approx(scores.niou, abs=1e-4)
        difference = changed.figures[change]["niou"].value - changed.figures[UNTOUCHED]["niou"].value
        assert changed.differences[change]["niou"].value == pytest.approx(difference)


def test_found_targets_are_the_streams_regions_with_its_scores(result: RobustResult) -> None:
    network = segmenter()
    model = prepare(network)
    sets, _ = robust_sets()
    for index, name in enumerate(ROBUST_SETS):
        low, in_use = FoundMetrics(), FoundMetrics()
        for sample in sets[index].samples:
            map_HW = network.probabilities(run_frame(model, sample.normalised()))[0, :SIDE_PX, :SIDE_PX].numpy()
            for metrics, threshold in ((low, LOWEST), (in_use, network.settings.threshold)):
                found = regions_of(map_HW, threshold, pixels_HW=sample.pixels_HW)
                metrics.update(found.centroids_xy_px, found.scores, sample.boxes_xyxy_px)
        got = result.found[index]
        assert got.dataset == name
        assert got.curve.num_targets == sum(len(sample.boxes_xyxy_px) for sample in sets[index].samples)
        np.testing.assert_allclose(got.curve.thresholds_T, low.compute().thresholds_T, atol=1e-5)
        np.testing.assert_allclose(got.curve.false_per_frame_T, low.compute().false_per_frame_T)
        assert got.pd_in_use == pytest.approx(in_use.hits_N.sum() / got.curve.num_targets)
        assert got.false_in_use == pytest.approx((~in_use.hits_N).sum() / len(sets[index].samples))


def test_progress_ends_with_all_frames() -> None:
    sets, _ = robust_sets()
    plan, told = RobustPlan(changes=("stripes",)), []
    run_suite(segmenter(), "acm", load_model("acm")[1], sets, plan, lambda done, of, name: told.append((done, of, name)))
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert told[-1][:2] == (num_frames(sets, plan), num_frames(sets, plan)) == (2 * 6 + 2 * 3 + 2 * 2,) * 2
    assert {name for *_, name in told} == set(ROBUST_SETS)


def test_a_threshold_of_ones_own_is_used_and_rows_hold_every_image() -> None:
    sets, _ = robust_sets()
    plan = RobustPlan(changes=("stripes",), threshold=0.999)
    high = run_suite(segmenter(), "acm", load_model("acm")[1], sets, plan, lambda *_: None)
    assert high.threshold == 0.999
    rows = robust_table([high]).to_pylist()
    assert len(rows) == 3 * 2 * 2
    assert {(row["dataset"], row["change"]) for row in rows} == {
        (name, change) for name in SEGMENTATION_SETS for change in (UNTOUCHED, "stripes")
    }
    assert sum(row["intersection_px"] for row in rows) == sum(
        counts.intersection_px for each in high.changed for every in each.counts.values() for counts in every
    )


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])
    return int(ended.value.code or 0)


def test_the_command_writes_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.terminal.progress.LINE_EVERY_S", 0.0)
    html, parquet = tmp_path / "new" / "page.html", tmp_path / "rows.parquet"
    files = ("--html", str(html), "--parquet", str(parquet))
    assert run("acm", "--suite", "robust", "--with", "kestrel", "--every", "2", *files, "--json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [each["name"] for each in told["models"]] == ["acm", "kestrel"]
    assert (told["suite"], told["every"], told["missing"], tuple(told["images"])) == ("robust", 2, [], ROBUST_SETS)
    assert [change["change"] for change in told["models"][0]["changed"][0]["changes"]] == list(PERTURBATIONS)
    foreign = next(each for each in told["models"][0]["found"] if each["dataset"] == FOREIGN_SETS[0])
    assert (foreign["learnt"], foreign["frames"], foreign["targets"], foreign["lowest_rate"]) == (False, 2, 1, 0.5)
    assert [at["pd"] is None for at in foreign["at"]] == [True, True, True, False], "two frames say nothing about a tenth a frame"
    assert "acm, " in err, "no terminal, yet progress"
    assert "one of 2 images of each set: a sample, no final figures" in err
    page = html.read_text()
    assert "irstream evaluate acm --suite robust --with kestrel --every 2" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page), "no other file"
    assert page.count('<img class="plot"') == 3
    assert pq.read_table(parquet).num_rows == 2 * 3 * (1 + len(PERTURBATIONS))


def test_the_command_shows_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("acm", "--suite", "robust", "--every", "2") == 0
    told, _ = capsys.readouterr()
    figure = r"[+-]\d+\.\d \[[+-][\d.]+, [+-][\d.]+\]"
    for change in PERTURBATIONS:
        assert re.search(rf"^{re.escape(change)} +{figure} +{figure} +{figure} *$", told, re.MULTILINE), change
    assert re.search(r"mar-dct-ir \(unseen\) +2 +1 +- +- +- +\d", told)
    assert re.search(r"nudt-sirst \(learnt from\) +1 +1 ", told)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["acm"], "DATASET: expected a data set, or --suite, got neither"),
        (["acm", "nudt-sirst", "--suite", "robust"], "DATASET: expected a data set or --suite, not both, got nudt-sirst and --suite"),
        (["acm", "--suite", "robuts"], "--suite: expected one of robust, got 'robuts'. Did you mean 'robust'?"),
        (["acm", "nudt-sirst", "--every", "5"], "--every: expected --every together with --suite"),
        (["acm", "--suite", "robust", "--protocol", "dnanet"], "--protocol: expected the default protocol with --suite, got dnanet"),
    ],
)
def test_wrong_use_says_what_to_do(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert text in " ".join(capsys.readouterr().err.split())
