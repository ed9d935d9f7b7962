"""The commands of the README as processes: what they print, leave behind, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import serve

from tests.conftest import ADDRESS_VARIABLE, RealKafka
from tests.processes import started

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(900)]
IRSTREAM = [sys.executable, "-c", "from deploy.cli.main import main; main()"]


def environment(kafka: RealKafka, **settings: str) -> dict[str, str]:
    return (
        {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")}
        | {ADDRESS_VARIABLE: kafka.bootstrap_servers}
        | settings
    )


def run(*arguments: str, cwd: Path, env: dict[str, str]) -> Any:
    """The JSON a command prints; it must succeed."""
    done = subprocess.run([*IRSTREAM, *arguments, "--json"], cwd=cwd, env=env, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_sigterm_while_the_models_load_is_an_interrupt(kafka: RealKafka, tmp_path: Path, joining_local_ray: dict[str, str]) -> None:
    env = environment(kafka, IRSTREAM_KAFKA__TOPIC=kafka.new_topic(1), **joining_local_ray)
    with started([*IRSTREAM, "stream"], env, tmp_path) as stream:
        assert stream.stdout is not None
        told: list[str] = []
        for line in stream.stdout:
            told.append(line)
            if "loading the three models" in line:
                break
        else:
            pytest.fail(f"the stream ended by itself: {told}")
        stream.send_signal(signal.SIGTERM)
        _, err = stream.communicate(timeout=300)
        assert (stream.returncode, err.splitlines()[-1]) == (130, "error: interrupted")
    assert [name for name in serve.status().applications if str(env["IRSTREAM_KAFKA__TOPIC"]) in name] == []
