"""`irstream diff` on two runs of the same files: page with pictures, Parquet, exit code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from contracts.codecs import encode_pixels
from contracts.errors import StopPipeline
from contracts.frame import ContentType
from deploy.cli.diff import app
from deploy.cli.explain import app as explain_app
from tests.pipeline.archives import ArchiveRun
from tests.pipeline.inference.rule_networks import RuleNetworks


class Keener(RuleNetworks):
    """Finds one target more in every frame but the empty ones."""

    async def _marks(self, block: Any) -> list[int]:
        return [mark + 1 if mark else 0 for mark in await super()._marks(block)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for number in range(9):
        (folder / "night").mkdir(exist_ok=True)
        (folder / "night" / f"{number}.png").write_bytes(encode_pixels(np.full((64, 96), number % 3, np.uint8), ContentType.PNG))
    for run_id, networks in (("a", RuleNetworks()), ("b", Keener())):
        run = ArchiveRun(folder / "table", run_id, networks.handles())
        assert run.process(run.files(folder / "night", name="night")).complete
    return folder / "table"


@pytest.mark.slow
def test_a_page_with_pictures_and_a_parquet(table: Path, tmp_path: Path) -> None:
    page, rows = tmp_path / "diff.html", tmp_path / "diff.parquet"
    done = CliRunner().invoke(app, ["a", "b", "--table", str(table), "--html", str(page), "--parquet", str(rows), "--json", "--worst", "3"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["frames"], found["matched"], found["only_a"], found["only_b"], found["match_by"]) == (9, 9, 0, 6, "position")
    assert found["change"] == pytest.approx(6 / 15)
    assert pq.read_table(rows)["only_b"].to_pylist() == [0, 1, 1] * 3
    html = page.read_text()
    assert len(re.findall(r'src="data:image/png;base64,', html)) == 4 + 2 * 3, "four plots, three frames twice"
    assert not re.findall(r'(?:src|href)="(?!data:)', html), "needs no other file"
    assert "40.0 %" in html


@pytest.mark.parametrize(("most", "code"), [("0.39", 1), ("0.4", 0)])
def test_too_much_change_is_an_answer_of_no(table: Path, most: str, code: int) -> None:
    done = CliRunner().invoke(app, ["a", "b", "--table", str(table), "--max-change", most])
    assert done.exit_code == code, done.output
    assert "40.0 % of the targets differ" in done.stdout


def test_too_few_frames_in_common_are_no_answer_of_yes(table: Path, tmp_path: Path) -> None:
    """Four of the five rows of each run are of frames that the other has not."""
    copied = Path(shutil.copytree(table, tmp_path / "table"))
    for run_id, offsets in (("a", "(1, 2, 3, 4)"), ("b", "(5, 6, 7, 8)")):
        DeltaTable(str(copied)).delete(f"run_id = '{run_id}' and source_offset in {offsets}")
    arguments = ["a", "b", "--table", str(copied), "--max-change", "1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1, done.output
    assert "1 of 5 frames of the smaller run" in done.stderr
    assert CliRunner().invoke(app, [*arguments, "--min-common", "0.2"]).exit_code == 0


def test_a_frame_of_an_archive_is_explained_from_its_file(table: Path, tmp_path: Path) -> None:
    picture = tmp_path / "frame.png"
    arguments = ["archive:night/0/4", "--table", str(table), "--run-id", "a", "--image", str(picture)]
    done = CliRunner().invoke(explain_app, arguments)
    assert done.exit_code == 0, done.output
    assert picture.stat().st_size > 1000


def test_a_frame_that_is_another_by_now_is_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "night"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(encode_pixels(np.full((64, 96), number, np.uint8), ContentType.PNG))
    run = ArchiveRun(tmp_path / "table", "a")
    assert run.process(run.files(folder, name="night")).complete
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes())
    arguments = ["archive:night/0/1", "--table", str(tmp_path / "table"), "--run-id", "a", "--image", str(tmp_path / "frame.png")]
    with pytest.raises(StopPipeline, match="the files have changed, or others came"):
        CliRunner().invoke(explain_app, arguments, catch_exceptions=False)
    assert not (tmp_path / "frame.png").exists()
