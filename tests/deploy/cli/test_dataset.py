"""`irstream dataset`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.dataset_index import INDEX_NAME, read_entries
from deploy.cli.main import main
from synthetic.settings import Scene
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
    assert len(entries) == (len(Scene) + 1) * 2 * 5  # the shore twice; bands, frames
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


def imported(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "import", *arguments])
    return int(ended.value.code or 0)


def test_the_exit_code_says_whether_every_image_came_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_index(root)
    images = sorted((root / "images").iterdir())
    images[0].write_bytes(b"no image")
    assert imported("index", str(root), "--out", str(out), "--json") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["complete"] is False
    assert "16.7% of the images were refused, 0.0% may be (--max-refused)" in told.err
    assert imported("index", str(root), "--out", str(out), "--max-refused", "0.2") == 0
    for image in images:
        image.write_bytes(b"no image")
    assert imported("index", str(root), "--out", str(tmp_path / "none"), "--max-refused", "1") == 1
    assert "no image could be used" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "word"), [("--band", "lwri"), ("--platform", "drohne")])
def test_a_mistyped_camera_is_refused(option: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_index(tmp_path / "set")
    assert imported("index", str(tmp_path / "set"), "--out", str(tmp_path / "out"), option, word) == 2
    assert f"{option}: expected one of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
