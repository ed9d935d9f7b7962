"""Standard streams whose encoding lacks characters."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", [["config", "show"], ["config", "check", "--config", "①"]], ids=" ".join)
def test_no_character_fails_in_an_ascii_locale(command: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "IRSTREAM_KAFKA__TOPIC": "①é"}
    code = f"from deploy.cli.main import main; main({command})"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert "\\u2460" in done.stdout + done.stderr
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
