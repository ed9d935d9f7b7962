"""`serve run ray_config.yaml` as a process of its own; with the crash matrix (`make test-faults`), because it takes a minute."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from tests.conftest import RealKafka
from tests.integration.test_commands import environment, run
from tests.processes import started

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.whole_matrix]
# What `serve run FILE` does, in a Ray of two cores whatever the machine has. Python heeds SIGINT only where it was not ignored at its
# start, and what a shell starts in the background begins with SIGINT ignored.
SERVE_ON_TWO_CORES = """
import ray, signal, sys
from ray.serve.scripts import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
ray.init(num_cpus=2, namespace="serve", include_dashboard=False, log_to_driver=False)
cli(["run", sys.argv[1]])
"""


def test_serve_run_needs_no_more_than_two_cores_and_heeds_ctrl_c(kafka: RealKafka, tmp_path: Path) -> None:
    topics = {"TOPIC": kafka.new_topic(2), "ALERTS_TOPIC": kafka.new_topic(1), "DEAD_LETTER_TOPIC": kafka.new_topic(1)}
    env = environment(kafka, **{f"IRSTREAM_KAFKA__{name}": topic for name, topic in topics.items()})
    run("publish", "synthetic", "--sensors", "2", "--fps", "0", "--limit", "20", cwd=tmp_path, env=env)
    table = tmp_path / "results"
    serving = env | {"PYTHONPATH": str(ROOT), "IRSTREAM_SINK__TABLE": str(table)}
    served = serve_until_rows([sys.executable, "-c", SERVE_ON_TWO_CORES, str(ROOT / "ray_config.yaml")], serving, tmp_path, table)
    assert served.rows == 20, served.said
    assert served.left == []


@dataclass(frozen=True)
class Served:
    """Rows of the table at the end, the end of what it said, and processes that it left."""

    rows: int
    said: str
    left: list[psutil.Process]


def serve_until_rows(command: Sequence[str], env: Mapping[str, str], folder: Path, table: Path) -> Served:
    """Start it, wait for 20 rows, send SIGINT; it must end."""
    with started(command, env, folder) as serve:
        deadline = time.monotonic() + 240
        while num_rows(table) < 20 and serve.poll() is None and time.monotonic() < deadline:
            time.sleep(1)
        family = psutil.Process(serve.pid).children(recursive=True)
        serve.send_signal(signal.SIGINT)
        try:
            serve.wait(240)
        except subprocess.TimeoutExpired:
            os.killpg(serve.pid, signal.SIGKILL)
            pytest.fail(f"serve run does not end on SIGINT; it said {serve.communicate(timeout=10)}; beside it run {family}")
        said = "" if serve.stderr is None else serve.stderr.read()
    _, alive = psutil.wait_procs(family, timeout=180)
    return Served(num_rows(table), said[-4000:], alive)


def num_rows(table: Path) -> int:
    """Rows of a table that may not be there yet."""
    return DeltaTable(str(table)).to_pyarrow_table().num_rows if DeltaTable.is_deltatable(str(table)) else 0
