"""Values written into a settings file: nothing else in it changes."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.errors import SettingsError
from deploy.settings.app_settings import load_settings
from deploy.settings.edit import as_yaml, edited, write_settings

DEFAULT = (Path(__file__).parents[3] / "ray_config.yaml").read_text()
ZONE: dict[str, Any] = {"place-1": {"rectangle_px": [3, 238, 36, 254]}}


def changes(sensor: str = "mast-1", **alerts: Any) -> dict[str, Any]:
    return {"sensors": {sensor: {"alerts": alerts}}}


def with_sensors(lines: str) -> str:
    return DEFAULT.replace("      sink:", f"{lines}      sink:")


def added(before: str, after: str) -> list[str]:
    """Lines that came; none may have gone."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert [line for line in lines if line.startswith("- ")] == []
    return [line[2:] for line in lines if line.startswith("+ ")]


def test_lines_are_added_and_comments_stay() -> None:
    assert added(DEFAULT, edited(DEFAULT, changes(min_score=0.9, zones=ZONE), "x")) == [
        "      sensors:",
        "        mast-1:",
        "          alerts:",
        "            min_score: 0.9",
        "            zones:",
        "              place-1:",
        "                rectangle_px: [3, 238, 36, 254]",
    ]


def test_what_a_sensor_has_already_stays() -> None:
    text = with_sensors(
        "      sensors: # ours\n        mast-1: # the bad one\n          min_score: 0.25\n          alerts:\n            zones:\n"
        "              display: {rectangle_px: [0, 0, 640, 20]} # the clock\n        'gate 7': {min_score: 0.50}\n"
    )
    had = {"display": {"rectangle_px": [0.0, 0.0, 640.0, 20.0]}}
    new = edited(text, changes(zones=had | ZONE), "x")
    assert added(text, new) == ["              place-1:", "                rectangle_px: [3, 238, 36, 254]"]


@pytest.mark.parametrize("sensor", ["007", "on", "1e3", "a: b", "Türm ☃", "- x", "2026-03-01"])
def test_a_sensor_of_any_name(tmp_path: Path, sensor: str) -> None:
    file = tmp_path / "ray_config.yaml"
    write_settings(file, edited(DEFAULT, changes(sensor, zones=ZONE), "x"), load_settings)
    assert list(load_settings(file).settings.sensors) == [sensor]
    again = edited(file.read_text(), changes(sensor, min_score=0.5), "x")
    assert len(added(file.read_text(), again)) == 1
    assert yaml.safe_load(as_yaml(changes(sensor, zones=ZONE))) == changes(sensor, zones=ZONE)


def test_a_file_without_args_gets_them() -> None:
    text = "applications:\n- import_path: deploy.app:build # ours\n"
    assert edited(text, changes(min_score=0.5), "x").startswith(f"{text}  args:\n    sensors:\n")


def test_where_an_alias_shares_it_nothing_is_written() -> None:
    text = with_sensors("      alerts: &all {min_score: 0.5}\n      sensors: {mast-1: {alerts: *all}}\n")
    with pytest.raises(SettingsError, match=r"settings\.yaml: expected a file in which these values can be set alone"):
        edited(text, changes(min_score=0.9), "settings.yaml")


def test_a_change_that_makes_the_settings_wrong_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "ray_config.yaml"
    file.write_text(DEFAULT)
    file.chmod(0o640)
    with pytest.raises(SettingsError, match=r"sensors\.mast-1\.alerts\.min_score"):
        write_settings(file, edited(DEFAULT, changes(min_score=7), "x"), load_settings)
    assert (file.read_text(), list(tmp_path.iterdir())) == (DEFAULT, [file])
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    write_settings(link, edited(DEFAULT, changes(min_score=0.7), "x"), load_settings)
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert load_settings(file).settings.sensors["mast-1"].alerts.min_score == 0.7
    with pytest.raises(SettingsError, match="expected a settings file that may be written"):
        write_settings(tmp_path / "no" / "such.yaml", DEFAULT, load_settings)
