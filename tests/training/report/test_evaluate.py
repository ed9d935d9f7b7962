"""Evaluation of a network over labelled images, its report, and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from contracts.errors import SettingsError
from deploy.cli.evaluate import _options
from deploy.cli.main import main
from evaluation.report import render_report
from evaluation.results import ModelResult, rows_table
from models.classification.base import ClassificationModel
from models.cost import latencies_ms
from models.inference import InferenceModel
from models.segmentation.base import SegmentationModel
from models.zoo import load_model
from tests.retrained import retrained
from training.data.evaluation_set import evaluation_samples, splits_of
from training.data.samples import Role
from training.report.evaluate import EvaluationPlan, costs_of, evaluate
from training.report.overlay import overlay
from training.tasks.measuring import measure_classification, measure_segmentation

pytestmark = [pytest.mark.usefixtures("made_data"), pytest.mark.slow]
KNOWN = {(60, 220, 60), (255, 120, 40), (255, 225, 60)}
PLAN = EvaluationPlan(num_worst=2, rounds=2)


@pytest.fixture(autouse=True)
def few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are taken of as few passes as can be: commands take twenty, and nothing here reads how long they were."""

    def quick(models: Sequence[InferenceModel], side_px: int, rounds: int) -> list[list[float]]:
        return latencies_ms(models, side_px, rounds=min(rounds, 2))

    monkeypatch.setattr("training.report.evaluate.latencies_ms", quick)


def shipped(name: str = "acm") -> SegmentationModel:
    network, _ = load_model(name)
    assert isinstance(network, SegmentationModel)
    return network


def evaluated(name: str = "acm", plan: EvaluationPlan = PLAN) -> ModelResult:
    network, card = load_model(name)
    assert isinstance(network, SegmentationModel)
    (cost,) = costs_of([network], plan)
    return evaluate(network, name, card.digest, evaluation_samples("nudt-sirst"), plan, cost)


def test_figures_are_those_of_the_cards_own_measurement() -> None:
    result = evaluated()
    (measured,) = [each for each in measure_segmentation(shipped(), Role.TEST, "") if each.data.startswith("nudt-sirst")]
    scores = result.scores
    for name in ("iou", "niou", "pd", "fa_ppm", "precision", "recall", "f1"):
        assert measured.values[name] == pytest.approx(getattr(scores, name), abs=1e-4)
    assert scores.num_targets == len([target for row in result.rows for target in row.targets]) == 2
    at = result.curves.thresholds_T.searchsorted(result.threshold)
    assert result.curves.iou_T[at] == pytest.approx(scores.iou, abs=0.02)


def test_another_threshold_and_protocol_are_used() -> None:
    low = evaluated(plan=EvaluationPlan(threshold=0.0, protocol="survey_eq6", num_worst=0, rounds=1))
    assert low.threshold == 0.0
    assert low.scores.iou == pytest.approx(2 * 48 / (2 * 64 * 64))
    assert low.scores.fa == pytest.approx(1 - 48 / 64**2)
    assert not low.worst


def test_names_are_told_apart_and_outputs_are_checked_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "acm"
    folder.mkdir()
    retrained(folder, "acm").rename(folder / "weights.safetensors")
    (folder / "retrained.json").rename(folder / "weights.json")
    html = tmp_path / "new" / "page.html"
    options = ("--protocol", "egpnet", "--threshold", "0.4", "--flips", "--html", str(html), "--json")

    assert run("acm", "nudt-sirst", "--with", str(folder), *options) == 0

    told = json.loads(capsys.readouterr().out)
    one, other = (each["name"] for each in told["models"])
    assert one == f"acm {told['models'][0]['digest'][:6]}" != other
    assert (told["protocol"], told["flips"], told["threshold_from"]) == ("egpnet", True, "--threshold")
    page = html.read_text()
    assert f"irstream evaluate acm nudt-sirst --with {folder} --protocol egpnet --threshold 0.4 --flips" in page
    assert "protocol egpnet; mean over four flips; threshold 0.4 instead of the card&#39;s" in page
    for name, interval in told["models"][0]["intervals"].items():
        assert interval["value"] == pytest.approx(told["models"][0]["scores"][name])


def test_rows_of_images_without_targets_have_the_same_columns() -> None:
    result = evaluated()
    bare = replace(result, rows=tuple(replace(row, targets=()) for row in result.rows))
    assert rows_table([bare]).schema == rows_table([result]).schema


def test_regions_the_stream_drops_count_for_nothing() -> None:
    network = shipped()
    network.configure({"threshold": 0.01, "min_area_px": 100_000})
    result = evaluate(network, "acm", "", evaluation_samples("nudt-sirst"), replace(PLAN, num_worst=0), costs_of([network], PLAN)[0])
    assert (result.scores.num_predictions, result.scores.pd) == (0, 0.0)
    (measured,) = [each for each in measure_segmentation(network, Role.TEST, "") if each.data.startswith("nudt-sirst")]
    assert (measured.values["pd"], measured.values["fa_ppm"]) == (0.0, 0.0)


def test_flips_are_asked_for_and_cost_four_times() -> None:
    network, plan = shipped(), EvaluationPlan(num_worst=0, rounds=1)
    (once,), (averaged,) = costs_of([network], plan), costs_of([network], replace(plan, flips=True))
    assert averaged.gmacs == pytest.approx(4 * once.gmacs)
    plain, mean = (evaluated(plan=replace(plan, threshold=0.3, flips=flips)) for flips in (False, True))
    assert plain.curves.average_precision != mean.curves.average_precision, "other maps"
    assert mean.scores.iou == pytest.approx(plain.scores.iou, abs=0.3), "turned back to where the target is"


def test_the_worst_frames_show_what_is_wrong() -> None:
    (sample, *_) = evaluation_samples("nudt-sirst")
    truth_HW = sample.mask_HW > 0
    answer_HW = np.roll(truth_HW, 4, axis=1)
    picture = overlay(sample, answer_HW, truth_HW)
    assert (picture[truth_HW & ~answer_HW] == (60, 220, 60)).all()
    assert (picture[answer_HW & ~truth_HW] == (255, 120, 40)).all()
    result = evaluated(plan=EvaluationPlan(threshold=0.9999999, num_worst=1, rounds=1))
    assert [frame.caption for frame in result.worst] == ["IoU 0.00, 1 of 1 missed"]


@pytest.mark.parametrize(
    ("shift_px", "colours"),
    [(0, {(255, 225, 60)}), (4, {(255, 225, 60)}), (32, {(60, 220, 60), (255, 120, 40)})],
    ids=["found", "found, displaced", "one missed, one false"],
)
def test_rings_show_where_to_look_and_hide_no_target(shift_px: int, colours: set[tuple[int, ...]]) -> None:
    (sample, *_) = evaluation_samples("nudt-sirst")
    truth_HW = sample.mask_HW > 0
    answer_HW = np.roll(truth_HW, shift_px, axis=1)
    picture = overlay(sample, answer_HW, truth_HW)
    around = picture[~(answer_HW | truth_HW)].reshape(-1, 3)
    assert {tuple(pixel) for pixel in around.tolist() if tuple(pixel) in KNOWN} == colours
    assert (picture[truth_HW & answer_HW] == (255, 225, 60)).all()


def test_nothing_found_and_nothing_true_has_no_ring() -> None:
    (sample, *_) = evaluation_samples("nudt-sirst")
    nothing_HW = np.zeros_like(sample.mask_HW, bool)
    picture = overlay(sample, nothing_HW, nothing_HW)
    assert (picture == picture[:, :, :1]).all(), "all grey"


class Page(HTMLParser):
    """What a page asks for, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def test_the_report_is_one_file_with_the_figures() -> None:
    results = [evaluated("acm"), evaluated("kestrel")]
    page = Page()
    page.feed(render_report(results, title="made <set>", lead="two images"))
    assert len(page.sources) == 5 + 2 * 2
    assert all(source.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for source in page.sources)
    assert "made <set>" in page.text
    for result in results:
        assert f"{result.scores.iou * 100:.2f}" in page.text
        assert f"{result.cost.parameters:,}" in page.text
    assert "kestrel - acm" in page.text
    assert any(f"for one frame of 256 x 256 px, on {results[0].cost.device}." in each for each in page.text)


def test_the_command_that_evaluates_again_names_what_is_unusual() -> None:
    assert _options(["acm"], EvaluationPlan()) == ["--with", "acm"]
    told = _options([], EvaluationPlan(protocol="dnanet", device="cuda:0", threshold=0.5, flips=True))
    assert told == ["--protocol", "dnanet", "--device", "cuda:0", "--threshold", "0.5", "--flips"]


def test_networks_on_other_images_are_not_compared() -> None:
    network, card = load_model("acm")
    assert isinstance(network, SegmentationModel)
    other = evaluate(network, "acm", card.digest, evaluation_samples("irstd-1k")[:1], PLAN, costs_of([network], PLAN)[0])
    with pytest.raises(ValueError, match="same images"):
        render_report([evaluated(), other], title="", lead="")
    with pytest.raises(ValueError, match="at least one network"):
        render_report([], title="", lead="")


def test_rows_hold_every_image_of_every_network() -> None:
    table = rows_table([evaluated("acm"), evaluated("kestrel")])
    assert table.num_rows == 4
    assert sum(table["targets"].to_pylist()) == sum(len(each) for each in table["target_list"].to_pylist()) == 4


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])
    return int(ended.value.code or 0)


def test_the_command_writes_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, parquet = tmp_path / "out" / "report.html", tmp_path / "rows.parquet"
    assert run("acm", "nudt-sirst", "--with", "kestrel", "--html", str(html), "--parquet", str(parquet), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["models"]] == ["acm", "kestrel"]
    assert told["models"][0]["scores"]["iou"] == pytest.approx(evaluated().scores.iou)
    assert told["splits"] == "test"
    assert told["models"][0]["difference"] is None
    for name, difference in told["models"][1]["difference"].items():
        one, other = (each["scores"][name] for each in told["models"])
        assert difference["value"] == pytest.approx(other - one)
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert "acm, kestrel on nudt-sirst" in html.read_text()
    assert pq.read_table(parquet).num_rows == 4


def test_the_command_shows_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.terminal.progress.LINE_EVERY_S", 0.0)
    assert run("acm", "sirst-v2", "--with", "kestrel") == 0
    told, err = capsys.readouterr()
    assert "acm, 1/2 images" in err, "no terminal, yet progress"
    assert "2 test images of sirst-v2, 2 targets" in told
    assert re.search(r"\n +acm +kestrel *\n", told)
    figure = r"\d+\.\d\d \[[\d.]+, [\d.]+\]"
    assert re.search(rf"IoU % +{figure} +{figure}", told)
    assert re.search(r"parameters +397,823 +247,702", told)


def test_a_registered_name_never_means_a_folder_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path / "acm", tmp_path / "run[v2]"):
        folder.mkdir()
        retrained(folder, "kestrel" if folder.name == "acm" else "acm").rename(folder / "weights.safetensors")
        (folder / "retrained.json").rename(folder / "weights.json")
    monkeypatch.chdir(tmp_path)
    assert run("acm", "nudt-sirst", "--with", "./acm", "--with", "run[v2]", "--html", "out[v2].html") == 0
    told, err = capsys.readouterr()
    assert re.search(r"parameters +397,823 +247,702 +397,823", told)
    assert re.search(r"\n +acm [0-9a-f]{6} +acm [0-9a-f]{6} +run\[v2\] *\n", told)
    assert "report out[v2].html" in err
    assert (tmp_path / "out[v2].html").is_file()
    monkeypatch.chdir(tmp_path / "run[v2]")
    assert run(".", "nudt-sirst", "--with", "weights.safetensors", "--json") == 2, "the same twice"
    assert "got the same twice among run[v2], run[v2]" in capsys.readouterr().err


def test_figures_are_shown_even_if_the_report_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("acm", "nudt-sirst", "--html", "/dev/full") == 2
    told, err = capsys.readouterr()
    assert "IoU %" in told
    assert "--html: expected a file that can be written, got [Errno 28] No space left on device" in err


def test_a_folder_of_ones_own_is_evaluated(made_root: Path) -> None:
    samples = evaluation_samples(str(made_root / "irstd-1k"))
    assert len(samples) == 2
    folder = made_root / "own"
    folder.mkdir(exist_ok=True)
    for name in ("images", "masks"):
        if not (folder / name).exists():
            (folder / name).symlink_to(made_root / "irstd-1k" / name)
    lines = [json.loads(line) for line in (made_root / "irstd-1k" / "index.jsonl").read_text().splitlines()][:3]
    (folder / "index.jsonl").write_text("".join(json.dumps({k: v for k, v in line.items() if k != "split"}) + "\n" for line in lines))
    assert len(samples := evaluation_samples(str(folder))) == 3
    assert splits_of(samples) == "train", "all, where nothing is for tests"


def test_a_classifier_is_shown_the_boxes_and_agrees_with_its_own_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, parquet = tmp_path / "page.html", tmp_path / "rows.parquet"
    assert run("basic_cnn", "hit-uav", "--html", str(html), "--parquet", str(parquet), "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["models"]
    network, _ = load_model("basic_cnn")
    assert isinstance(network, ClassificationModel)
    (measured,) = measure_classification(network, Role.TEST, "", ("hit-uav",), ())
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert measured.values[name] == pytest.approx(told["scores"][name], abs=1e-4)
    assert told["confusion"]["rows_are_truth"] == measured.confusion
    assert pq.read_table(parquet).num_rows == told["targets"] == 2
    assert "irstream evaluate basic_cnn hit-uav" in html.read_text()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("runs/nowhere", "nudt-sirst"),
            "MODEL, --with: expected a registered network, a safetensors file with its card beside it, or a run's folder",
        ),
        (("acm", "nowhere"), "expected one of nudt-sirst, irstd-1k, sirst-v2, synthetic, or a folder"),
        (
            ("fcos_light", "nudt-sirst"),
            "expected a segmenter, got fcos_light, a network of detection. Measure it with irstream models measure",
        ),
        (("fcos_light", "hit-uav"), "expected a segmenter, got fcos_light"),
        (("basic_cnn", "nudt-sirst"), "expected boxes of classes that basic_cnn knows (person, car"),
        (("basic_cnn", "hit-uav", "--flips"), "MODEL: expected none of the options of segmenters for a classifier, got --flips"),
        (("basic_cnn", "hit-uav", "--with", "acm"), "expected a classifier, got acm, a network of segmentation"),
        (("acm", "nudt-sirst", "--with", "basic_cnn"), "network of classification. Measure it with irstream models measure basic_cnn"),
        (("acm", "nudt-sirst", "--protocol", "mine"), "expected one of default, basicirstd"),
        (("dnanet", "nudt-sirst"), "trained weights"),
        (("acm", "nudt-sirst", "--with", "acm"), "expected different weights, got the same twice among acm, acm"),
        (("acm", "nudt-sirst", "--html", "/"), "--html: expected a file that can be written, got / is a folder"),
        (("acm", "nudt-sirst", "--parquet", "/proc/none/rows.parquet"), "--parquet: expected a file that can be written"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert text in " ".join(capsys.readouterr().err.split())


def test_an_empty_set_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.jsonl").write_text("")
    with pytest.raises(SettingsError, match="at least one image"):
        evaluation_samples(str(tmp_path))
