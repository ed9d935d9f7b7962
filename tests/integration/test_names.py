"""From a wheel, in a working folder full of other people's files with our names: Ray's workers, the demo, `serve run`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable

from irstream_names import PACKAGES
from tests.conftest import RealKafka
from tests.installed import ROOT, Environment, clean, fill_with_strangers
from tests.integration.test_commands import environment
from tests.integration.test_serve_run import SERVE_ON_TWO_CORES, serve_until_rows

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
# What crosses to the workers are objects of ours, which they import by name before any code of ours could run there.
WORKERS = f"""
import json
from importlib import import_module
from deploy.cluster.session import ray_session
from contracts.position import OffsetRange

class Holder:
    def __init__(self, held):
        self.held = held
    def files(self):
        return [import_module(name).__file__ for name in {PACKAGES}]

with ray_session():
    import ray
    held = OffsetRange("frames", 0, 3, 5)
    task = ray.remote(lambda held: Holder(held).files()).remote(held)
    actor = ray.remote(Holder).options(num_cpus=0).remote(held)
    print(json.dumps(ray.get([task, actor.files.remote()])))
"""
HEAD = """
import sys, ray
for attempt in range(3):  # Ray gives a node 30 s to start, however busy the machine is
    try:
        context = ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
        break
    except Exception:
        ray.shutdown()
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """All three kinds in one folder, as they do not exclude each other."""
    folder = fill_with_strangers(tmp_path / "strangers", "package", PACKAGES[:4])
    fill_with_strangers(folder, "module", PACKAGES[4:])
    return fill_with_strangers(folder, "folder", PACKAGES[6:7])


def workers(installed: Environment, strangers: Path, env: dict[str, str]) -> object:
    script = strangers.parent / "script" / "driver.py"
    script.parent.mkdir()
    script.write_text(WORKERS)
    done = installed.run("python", str(script), cwd=strangers, env=env, timeout_s=300)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.whole_matrix  # in `make test` the demo below needs the same of its workers
def test_workers_of_a_local_ray_find_ours(installed: Environment, strangers: Path) -> None:
    files = [str(installed.packages / name / "__init__.py") for name in PACKAGES]
    assert workers(installed, strangers, {"RAY_ADDRESS": ""}) == [files, files]


def test_workers_of_a_cluster_find_ours(installed: Environment, strangers: Path) -> None:
    """They inherit nothing from the driver, and still look into its working folder first."""
    files = [str(installed.packages / name / "__init__.py") for name in PACKAGES]
    env = clean({"RAY_ADDRESS": "", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64})
    with subprocess.Popen([installed.python, "-c", HEAD], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        try:
            address = head.stdout.readline().strip()
            assert workers(installed, strangers, env | {"RAY_ADDRESS": address}) == [files, files]
        finally:
            assert head.stdin is not None
            head.stdin.close()


@pytest.mark.broker
def test_the_demo_of_a_wheel_shows_every_frame_it_published_among_strangers(
    installed: Environment, strangers: Path, kafka: RealKafka
) -> None:
    words = ("demo", "--num-frames", "12", "--fps", "5", "--out", "out", "--json")
    done = installed.run("irstream", *words, cwd=strangers, env=clean(environment(kafka, PYTHONPATH="")), timeout_s=800)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["summary"]["progress"]["frames_out"] == 12
    assert told["summary"]["drained"]
    assert len(told["summary"]["by_sensor"]) == 4
    rows = DeltaTable(str(strangers / told["table"])).to_pyarrow_dataset()
    assert duckdb.connect().register("rows", rows).execute(
        "select count(*), count(distinct (source_partition, source_offset)) from rows"
    ).fetchone() == (12, 12)
    assert (strangers / told["contact_sheet"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.broker
@pytest.mark.whole_matrix
def test_serve_run_of_a_wheel_runs_among_strangers(installed: Environment, strangers: Path, kafka: RealKafka) -> None:
    topics = {"TOPIC": kafka.new_topic(2), "ALERTS_TOPIC": kafka.new_topic(1), "DEAD_LETTER_TOPIC": kafka.new_topic(1)}
    table = strangers.parent / "results"
    env = environment(kafka, PYTHONPATH="", **{f"IRSTREAM_KAFKA__{name}": topic for name, topic in topics.items()})
    words = ("publish", "synthetic", "--sensors", "2", "--fps", "0", "--limit", "20", "--json")
    published = installed.run("irstream", *words, cwd=strangers, env=env)
    assert published.returncode == 0, published.stderr
    script = strangers.parent / "serve_on_two_cores.py"  # not `-c`: as with the command `serve`, the working folder is not on its path
    script.write_text(SERVE_ON_TWO_CORES)
    command = [installed.python, str(script), str(ROOT / "ray_config.yaml")]
    served = serve_until_rows(command, env | {"IRSTREAM_SINK__TABLE": str(table)}, strangers, table)
    assert served.rows == 20, served.said
    assert served.left == []
