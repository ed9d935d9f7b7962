"""`irstream tune`: moments, and the command as a process."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from contracts.errors import SettingsError
from deploy.cli.tune import moment_of
from deploy.settings.app_settings import load_settings
from tests.deploy.cli.test_cli import HEADER, irstream
from tests.pipeline.ops.test_tune import frame, write

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
    shown = irstream(*command, "mast-1", "--max-false-per-hour", "2.5", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "least score 0.26: 240 of 244 detections go (98.4%), 4 stay in 4 frames" in shown.stdout
    lines = [line for line in shown.stdout.splitlines() if line.startswith("  ") and ":" in line]
    assert yaml.safe_load("\n".join(lines)) == {"sensors": {"mast-1": {"alerts": {"min_score": 0.26}}}}
    config = tmp_path / "tuned.yaml"
    config.write_text(HEADER + "".join(f"    {line}\n" for line in lines))
    assert load_settings(config).settings.sensors["mast-1"].alerts.min_score == 0.26

    told = irstream(*command, "mast-1", "--max-false-per-hour", "0.5", "--json", cwd=tmp_path)
    assert (told.returncode, json.loads(told.stdout)["promised"]) == (1, None)
    wrong = irstream(*command, "mast-2", "--max-false-per-hour", "1", cwd=tmp_path)
    assert (wrong.returncode, "--sensor: expected one of gate-7, mast-1, got 'mast-2'" in wrong.stderr) == (2, True)
    for rate in ("0", "-1", "nan", "inf"):
        refused = irstream(*command, "mast-1", f"--max-false-per-hour={rate}", cwd=tmp_path)
        assert (refused.returncode, "--max-false-per-hour: expected a number above 0" in refused.stderr) == (2, True)
