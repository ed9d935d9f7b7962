"""Trainings in folds as figures, pages and comparisons."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from contracts.errors import SettingsError
from deploy.cli.main import main
from evaluation.fold_plots import CurvePoint
from models.segmentation.base import SegmentationModel
from models.zoo import create_model
from tests.training.data.written_sets import write_index
from training.data.folds import FoldSettings, make_folds
from training.data.importing import import_set
from training.data.parquet_set import iterate_rows
from training.data.reading import Defaults
from training.distributed.predictions import PREDICTIONS, predicted_rows
from training.recipes import default_task
from training.report.folds_page import render_folds_page, summary_of
from training.report.folds_run import analyse_runs, compare_runs, read_run


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two trainings on three folds: predictions of a real network at two thresholds."""
    folder = tmp_path_factory.mktemp("runs")
    write_index(folder / "set")
    import_set("index", folder / "set", folder / "parquet", Defaults(dataset="made", licence="ours"))
    folds = make_folds([folder / "parquet"], FoldSettings(num=3, validation=0.5))
    model = create_model("acm").eval()
    assert isinstance(model, SegmentationModel)
    task = default_task(model)
    for name, threshold in (("one", 0.0001), ("two", 0.9999)):
        run = folder / name
        run.mkdir()
        (run / "folds.json").write_text(folds.text())
        (run / "run.json").write_text(
            json.dumps({"identity": {"model": "acm", "folds": folds.digest}, "folders": [str(folder / "parquet")]})
        )
        model.configure({"threshold": threshold})
        for fold in range(3):
            rows = [row for row in iterate_rows(folder / "parquet") if folds.test[row["sample_id"]] == fold]
            table = pa.Table.from_pylist(list(predicted_rows(fold, rows, task.answers(model))), PREDICTIONS)
            pq.write_table(table, run / f"fold-{fold}.parquet")
            sizes = {part: len(folds.names(fold, part)) for part in ("train", "validation", "test")}
            result = {"fold": fold, "figures": task.figures(model, table.to_pylist()), "steps": 4, "best_step": 2, **sizes}
            curve = [{"step": 2, "loss": 0.5, "validation": 0.3}, {"step": 4, "loss": 0.25, "validation": None}]
            result |= {"steps_an_epoch": 2, "curve": curve}
            (run / f"fold-{fold}.json").write_text(json.dumps(result | {"settings": model.settings.model_dump()}))
    return [str(folder / "one"), str(folder / "two")]


def test_a_run_is_read_and_summed_up(places: list[str]) -> None:
    run = read_run(places[0])
    assert (run.model, run.headline, len(run.rows), len(run.results)) == ("acm", "iou", 6, 3)
    summary = json.loads(json.dumps(summary_of(run), allow_nan=False))
    values = [result["figures"]["iou"] for result in run.results]
    assert summary["figures"]["iou"]["mean"] == pytest.approx(sum(values) / 3)
    assert summary["figures"]["iou"]["sd"] == pytest.approx(math.sqrt(sum((value - sum(values) / 3) ** 2 for value in values) / 2))
    assert {name: part["images"] for name, part in summary["parts"]["scene"].items()} == {"cam0": 2, "cam1": 2, "cam2": 2}


@pytest.mark.slow
def test_the_page_stands_alone_and_compares(places: list[str]) -> None:
    one, two = map(read_run, places)
    tests = compare_runs(one, two)
    assert tests["iou"].difference == pytest.approx(sum(two.values("iou")) / 3 - sum(one.values("iou")) / 3)
    page = render_folds_page(one, [two])
    assert page.count("data:image/png") == 5
    sections = ("iou by fold", "Learning curves", "Targets found against false alarms", "Calibration", "Worst images", "By camera")
    assert all(f"<h2>{title}</h2>" in page for title in sections)
    assert all(words in page for words in ("mean ± SD", "Nadeau-Bengio", "One-way ANOVA", "air / lwir"))
    assert "http" not in page


def test_learning_curves_are_by_epoch_and_variance_is_that_of_the_folds(places: list[str]) -> None:
    one, two = map(read_run, places)
    assert one.curves["fold 2"] == [CurvePoint(1.0, 0.5, 0.3), CurvePoint(2.0, 0.25, None)]
    found = analyse_runs([one, two])
    assert found.f == pytest.approx(stats.f_oneway(one.values("iou"), two.values("iou")).statistic, nan_ok=True)
    assert list(found.tukey) == [("acm (one)", "acm (two)")]
    with pytest.raises(SettingsError, match="at least two trainings, each with `iou`"):
        analyse_runs([one])


@pytest.mark.slow
def test_other_folds_are_not_compared(places: list[str], tmp_path: Path) -> None:
    one, two = map(read_run, places)
    begun = Path(places[1]) / "run.json"
    content = json.loads(begun.read_text())
    begun.write_text(json.dumps(content | {"identity": content["identity"] | {"folds": "other"}}))
    try:
        with pytest.raises(SettingsError, match="trainings on the same folds"):
            compare_runs(one, read_run(places[1]))
    finally:
        begun.write_text(json.dumps(content))
    assert compare_runs(one, two)


@pytest.mark.slow
def test_the_commands_print_for_people_and_programs(places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(Path(places[0]).parent)
    for arguments in (
        ["list", folder, "--json"],
        ["show", places[0], "--json", "--html", str(tmp_path / "page.html")],
        ["compare", *places, "--json"],
        ["show", places[0]],
        ["compare", *places],
        ["anova", *places],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["runs", *arguments])
        assert ended.value.code == 0
    listed, shown, compared, *text = capsys.readouterr().out.splitlines()
    assert [each["folds_done"] for each in json.loads(listed)["runs"]] == [3, 3]
    assert json.loads(shown)["images"] == 6
    assert set(json.loads(compared)["compared"][0]["figures"]["iou"]) >= {"p", "p_corrected", "cohen_d"}
    assert any("±" in line for line in text)
    assert any("corrected p" in line for line in text)
    assert any("Tukey p" in line for line in text)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    with pytest.raises(SystemExit) as ended:
        main(["runs", "show", folder])
    assert ended.value.code == 2
