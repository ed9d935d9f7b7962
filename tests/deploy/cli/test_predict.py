"""`irstream predict`: rows, pictures and a sheet of files, as the stream would answer."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from contracts.arrow import table_to_outcomes
from contracts.result import DeadLetter, FrameResult
from deploy.cli.main import main
from synthetic.camera import SyntheticCamera
from synthetic.settings import SyntheticSettings

pytestmark = pytest.mark.slow
NUM = 6


@pytest.fixture(autouse=True)
def _light_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRSTREAM_MODELS__SEGMENTER__MODEL", "acm")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six images of 14 bit and one that is cut off."""
    folder = tmp_path_factory.mktemp("in") / "mast 1"
    folder.mkdir()
    camera = SyntheticCamera(SyntheticSettings(width_px=128, height_px=96, bit_depth=14, seed=1))
    for number in range(NUM):
        cv2.imwrite(str(folder / f"{number}.png"), camera.frame(number * 20).pixels_HW)
    (folder / "9.png").write_bytes((folder / "0.png").read_bytes()[:300])
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *arguments])
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def test_each_frame_has_its_row_and_its_picture(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, str(images), "--out", str(tmp_path / "out"), "--json")
    told = json.loads(out)
    assert code == 1, "a file is cut off"
    assert (told["frames"], told["rejected"] + told["skipped"]) == (NUM, 1)
    assert len(told["problems"]) == 1
    outcomes = table_to_outcomes(pq.read_table(told["files"]["rows"]))
    results = [each for each in outcomes if isinstance(each, FrameResult)]
    assert [each.position.offset for each in outcomes] == list(range(len(outcomes)))
    assert {each.position.topic for each in outcomes} == {"archive:mast 1"}
    assert {(each.width_px, each.height_px) for each in results} == {(128, 96)}
    assert len(results) + sum(isinstance(each, DeadLetter) for each in outcomes) == len(outcomes)
    assert {model.name for each in results for model in each.models} >= {"harrier", "acm"}
    assert told["detections"] == sum(len(each.sure) for each in results) > 0
    pictures = sorted(Path(told["files"]["pictures"]).iterdir())
    assert len(pictures) == NUM
    for path in (*pictures, Path(told["files"]["sheet"])):
        shown = cv2.imread(str(path))
        assert shown is not None
        assert np.ptp(shown) > 50


def test_a_limit_and_the_summary_for_people(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, str(images), "--out", str(tmp_path), "--limit", "2", "--pictures", "1", "--sensor", "gate")
    assert code == 0
    assert "in 2 frames" in out
    assert f"sheet     {tmp_path / 'contact-sheet.png'}" in out
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["gate-000000.png"]
    assert pq.read_table(tmp_path / "results.parquet").num_rows == 2


def test_its_own_output_is_no_input_and_old_pictures_go(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a b", "a_b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes((images / "0.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        code, out, _ = run(capsys, ".", "--json")
        assert (code, json.loads(out)["frames"]) == (0, 2)
    assert len(list((tmp_path / "predictions" / "pictures").iterdir())) == 2, "a picture for each sensor"
    assert pq.ParquetFile(tmp_path / "predictions" / "results.parquet").num_row_groups == 1


def test_nothing_to_look_at_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, str(tmp_path), "--out", str(tmp_path / "out"))
    assert code == 2
    assert "expected images" in err
