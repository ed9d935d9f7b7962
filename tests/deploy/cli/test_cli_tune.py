"""`irstream tune`: moments, and the command as a process."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from contracts.arrow import outcomes_to_table
from contracts.errors import SettingsError
from deploy.cli.tune import app, moment_of
from deploy.settings.app_settings import load_settings
from tests.deploy.cli.test_cli import HEADER
from tests.pipeline.ops.test_tune import frame, hour, write
from tests.processes import irstream

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12h", "2026-03-02T00:00:00+00:00"),
        (" 1.5d ", "2026-03-01T00:00:00+00:00"),
        ("90", "2026-03-02T11:58:30+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01T06:30", "2026-03-01T06:30:00+00:00"),
        ("2026-03-01T06:30+02:00", "2026-03-01T04:30:00+00:00"),
        ("2026-03-01T06:30:00Z", "2026-03-01T06:30:00+00:00"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert moment_of(text, NOW) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("text", ["", "soon", "12x", "-1h", "2026-13-01", "999999999d"])
def test_other_moments_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--since: expected a length of time"):
        moment_of(text, NOW)


@pytest.mark.slow
def test_the_command_proposes_what_the_settings_take(tmp_path: Path) -> None:
    rows = [frame(minute, 60 * minute, [0.25, 0.95] if minute % 60 == 0 else [0.25]) for minute in range(240)]
    write(tmp_path / "results", [*rows, frame(240, 0, sensor="gate-7")])
    command = ("tune", "--table", "results", "--sensor")
    shown = irstream(*command, "mast-1", "--max-false-per-hour", "2.5", "--no-zones", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "least score 0.26: 240 of 244 detections go (98.4%), 4 stay in 4 frames" in shown.stdout
    lines = [line for line in shown.stdout.splitlines() if line.startswith("  ") and ":" in line]
    assert yaml.safe_load("\n".join(lines)) == {"sensors": {"mast-1": {"alerts": {"min_score": 0.26}}}}
    config = tmp_path / "tuned.yaml"
    config.write_text(HEADER + "".join(f"    {line}\n" for line in lines))
    assert load_settings(config).settings.sensors["mast-1"].alerts.min_score == 0.26
    wrong = irstream(*command, "mast-2", "--max-false-per-hour", "1", cwd=tmp_path)
    assert (wrong.returncode, "--sensor: expected one of gate-7, mast-1, got 'mast-2'" in wrong.stderr) == (2, True)


def test_without_a_promise_the_exit_code_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(outcomes_to_table(hour(), "predict"), tmp_path / "results.parquet")
    command = ("--table", str(tmp_path / "results.parquet"), "--sensor", "mast-1", "--json", "--max-false-per-hour")
    assert run(app, (*command, "0.5")) == 1
    assert json.loads(capsys.readouterr().out)["promised"] is None
    assert run(app, (*command, "20")) == 0
    assert json.loads(capsys.readouterr().out)["promised"]["num"] == 10


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_rate_is_above_0(rate: str) -> None:
    with pytest.raises(SettingsError, match="--max-false-per-hour: expected a number above 0"):
        run(app, ("--sensor", "mast-1", f"--max-false-per-hour={rate}"))


def test_zones_are_drawn_and_written_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(outcomes_to_table(hour(), "predict"), "results.parquet")
    Path("tuned.yaml").write_text(HEADER + "      sensors: # ours\n        mast-1: {min_score: 0.1} # a bad camera\n")
    before = sorted(tmp_path.iterdir())
    command = ("--table", "results.parquet", "--sensor", "mast-1", "--config", "tuned.yaml")
    run(app, command)
    assert "1 place that alarms at the same spot: as zones they remove 60 of 73 detections" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before
    cv2.imwrite("frame.png", np.zeros((512, 640), np.uint8))
    run(app, (*command, "--picture", "zones.png", "--frame", "frame.png", "--write"))
    picture = cv2.imread("zones.png")
    assert picture is not None
    assert picture.shape == (532, 1280, 3)
    assert "# ours" in Path("tuned.yaml").read_text()
    assert "# a bad camera" in Path("tuned.yaml").read_text()
    own = load_settings(Path("tuned.yaml")).settings.sensors["mast-1"]
    assert (own.min_score, list(own.alerts.zones or ())) == (0.1, ["place-600-20"])
    capsys.readouterr()
    run(app, (*command, "--write"))
    assert "nothing is written: nothing is proposed" in capsys.readouterr().err


def test_without_a_settings_file_the_packaged_one_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(outcomes_to_table(hour(), "predict"), "results.parquet")
    run(app, ("--table", "results.parquet", "--sensor", "mast-1", "--write"))
    assert list(load_settings(Path("ray_config.yaml")).settings.sensors["mast-1"].alerts.zones or ()) == ["place-600-20"]


@pytest.mark.parametrize(("content", "told"), [(b"no image", "frame.png"), (None, "expected")])
def test_a_frame_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(outcomes_to_table(hour(), "predict"), "results.parquet")
    if content is not None:
        Path("frame.png").write_bytes(content)
    with pytest.raises(SettingsError, match=told):
        run(app, ("--table", "results.parquet", "--sensor", "mast-1", "--picture", "z.png", "--frame", "frame.png"))


def run(command: typer.Typer, arguments: tuple[str, ...]) -> int:
    """The command in this process; its exit code."""
    return typer.main.get_command(command).main(list(arguments), standalone_mode=False) or 0
