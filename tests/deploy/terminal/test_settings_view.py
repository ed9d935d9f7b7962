"""What `irstream config show` shows."""

from __future__ import annotations

import pytest

from deploy.terminal.settings_view import print_settings
from tests.deploy.terminal.screens import screen


def test_each_setting_is_a_line_and_no_value_is_markup(capsys: pytest.CaptureFixture[str]) -> None:
    values = {("run_id",): "[bold]live[/bold]", ("kafka", "topic"): "frames", ("models", 0, "threshold"): 0.5, ("sink", "table"): None}
    origins = {"run_id": "ray_config.yaml:4", "kafka.topic": "default", "models.0.threshold": "IRSTREAM_X", "sink.table": "default"}
    print_settings(values, origins)
    assert screen(capsys).splitlines() == [
        "setting             value                from",
        "run_id              '[bold]live[/bold]'  ray_config.yaml:4",
        "kafka.topic         'frames'             default",
        "models.0.threshold  0.5                  IRSTREAM_X",
        "sink.table          null                 default",
    ]
