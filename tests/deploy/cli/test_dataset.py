"""`irstream dataset`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.dataset_index import INDEX_NAME, read_entries
from deploy.cli.main import main
from tests.training.data.written_sets import write_index


@pytest.mark.slow
def test_the_synthetic_set_is_written_with_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("synthetic.dataset.CAMERAS_OF_SPLIT", {"val": 1})
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "synthetic", str(tmp_path / "made"), "--json"])
    assert ended.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    entries = read_entries(tmp_path / "made" / INDEX_NAME)
    assert answer == {"folder": str(tmp_path / "made"), "frames": len(entries)}
    assert len(entries) == 50
    assert all((tmp_path / "made" / name).is_file() for entry in entries for name in (entry.file, entry.mask or ""))


def test_a_set_is_imported_and_shown_on_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_index(tmp_path / "set")
    out = tmp_path / "parquet"
    for arguments, code in (
        (["import", "index", str(tmp_path / "set"), "--out", str(out), "--group", r"^(cam\d)", "--json"], 0),
        (["stats", str(out), "--json"], 0),
        (["import", "cooc", str(tmp_path / "set"), "--out", str(out)], 2),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["dataset", *arguments])
        assert ended.value.code == code
    captured = capsys.readouterr()
    made, shown = map(json.loads, captured.out.splitlines())
    assert (made["frames"], made["refused"]) == (6, {})
    assert (shown["targets"], shown["groups"], shown["classes"]) == (6, 3, {"car": 3, "person": 3})
    assert len(shown["signal_to_clutter"]) == 6
    page = (out / "stats.html").read_text()
    assert page.count("data:image/png") == 2
    assert "air / lwir" in page
    assert "'coco'" in captured.err
