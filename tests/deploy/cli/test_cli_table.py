"""`irstream table maintain` as a process: numbers, mistakes by name, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from deploy.cli.table import seconds_of
from tests.deploy.cli.test_cli import CHECK_AT_MOST, HEAVY, cpu_s
from tests.pipeline.results import read_rows
from tests.pipeline.table.test_results_table import append_one, opened
from tests.processes import irstream

pytestmark = pytest.mark.slow


def test_maintenance_tells_programs_and_people_what_it_did(tmp_path: Path) -> None:
    table = opened(tmp_path / "results")
    for offset in range(12):
        append_one(table, offset)
    dry = irstream("table", "maintain", "--table", "results", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "12 small files would be merged into 1" in dry.stdout
    done = irstream("table", "maintain", "--table", "results", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert (done.returncode, told["dry_run"]) == (0, False)
    assert (told["before"]["files"], told["after"]["files"], told["merged"]["files_before"]) == (12, 1, 12)
    again = irstream("table", "maintain", "--older-than", "2d", cwd=tmp_path, IRSTREAM_SINK__TABLE="results")
    assert "0 small files merged into 0" in again.stdout
    assert len(read_rows(tmp_path / "results")) == 12


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(("--table", "gone"), "sink.table = gone: expected the results table of a stream, got no table there", id="no table"),
        pytest.param(("--table", "results", "--older-than", "soon"), "--older-than: expected a length of time", id="no time"),
        pytest.param(("--table", "results", "--older-than", "0"), "--older-than: expected a length of time", id="too short"),
        pytest.param(("--table", "file"), "sink.table = file: expected the results table of a stream", id="a file"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    opened(tmp_path / "results")
    (tmp_path / "file").write_text("no table")
    done = irstream("table", "maintain", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_judged_is_the_answer_no(tmp_path: Path) -> None:
    table = opened(tmp_path / "results")
    for offset in range(3):
        append_one(table, offset)
    table._opened().create_checkpoint()
    (tmp_path / "results" / "_delta_log" / f"{0:020}.json").unlink()
    done = irstream("table", "maintain", "--table", "results", cwd=tmp_path)
    assert done.returncode == 1
    assert "no file could be checked for deletion" in done.stdout


def test_the_command_starts_without_anything_heavy(tmp_path: Path) -> None:
    code = f"import sys, deploy.cli.table; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    command = ("-c", "from deploy.cli.main import main; main()", "table", "maintain", "--help")
    assert cpu_s(*command, cwd=tmp_path) < CHECK_AT_MOST * cpu_s("-c", "pass", cwd=tmp_path)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("60s", 60), ("90m", 5_400), ("1.5h", 5_400), (" 2d ", 172_800)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "59s", "0.5m", "1w", "1d12h", "inf", "1e9"])
def test_other_lengths_of_time_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--older-than"):
        seconds_of(text)
