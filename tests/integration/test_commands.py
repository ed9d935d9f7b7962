"""The commands of the README as processes: what they print, leave behind, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
from deltalake import DeltaTable
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


def test_kill_9_and_ctrl_c_cost_no_row_and_leave_no_process(kafka: RealKafka, tmp_path: Path, joining_local_ray: dict[str, str]) -> None:
    env = environment(
        kafka,
        IRSTREAM_KAFKA__TOPIC=kafka.new_topic(2),
        IRSTREAM_KAFKA__ALERTS_TOPIC=kafka.new_topic(1),
        IRSTREAM_KAFKA__DEAD_LETTER_TOPIC=kafka.new_topic(1),
        IRSTREAM_STREAM__IN_FLIGHT_BLOCKS="1",
        IRSTREAM_STREAM__BLOCK_MAX_FRAMES="4",
    )
    # Eight times what a fast machine got through between two lines of progress: both ends come in the middle.
    published = run("publish", "synthetic", "--sensors", "3", "--fps", "0", "--limit", "600", cwd=tmp_path, env=env)
    assert published["acked"] == 600
    table = tmp_path / "runs" / "results"
    with started([*IRSTREAM, "stream", "--json"], env, tmp_path) as stream:
        until_rows_come(stream)
        family = psutil.Process(stream.pid).children(recursive=True)
        stream.kill()
        stream.wait()
    killed = DeltaTable(str(table)).to_pyarrow_table().num_rows
    assert 0 < killed < 600, "the kill shall come in the middle"
    with started([*IRSTREAM, "stream", "--json"], env | joining_local_ray, tmp_path) as stream:
        until_rows_come(stream)
        stream.send_signal(signal.SIGINT)
        out, err = stream.communicate(timeout=600)
        assert stream.returncode == 0, err
    drained = json.loads(out)
    assert drained["drained"]
    assert 0 < drained["progress"]["frames_out"] < 600 - killed, "the interrupt shall come in the middle"
    rows = DeltaTable(str(table)).to_pyarrow_dataset()
    question = (
        "select source_partition, count(*), count(distinct source_offset), min(source_offset), max(source_offset) + 1 from rows group by 1"
    )
    answers = duckdb.connect().register("rows", rows).execute(question).fetchall()
    assert sum(number for _, number, *_ in answers) == killed + drained["progress"]["frames_out"]
    assert all(number == distinct == end and begin == 0 for _, number, distinct, begin, end in answers)
    # Ray's agents look after their raylet now and then: they may live a minute longer.
    _, left = psutil.wait_procs(family, timeout=180)
    assert not left, "Ray ends with the process that started it"


def until_rows_come(stream: subprocess.Popen[str]) -> None:
    """Read what a stream says until the first rows are out."""
    assert stream.stderr is not None
    told: list[str] = []
    for line in stream.stderr:
        told.append(line)
        if " streaming" in line and "out 0 " not in line:
            return
    pytest.fail(f"the stream ended by itself: {told}")


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
