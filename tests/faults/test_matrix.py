"""The crash matrix: after each fault every frame has exactly one row, and the stream is alive again without a person."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import duckdb
import psutil
import pytest
from deltalake import DeltaTable

from contracts.frame import ContentType
from pipeline.inputs.cameras import synthetic_source
from pipeline.kafka.producer import SteadyProducer
from pipeline.publish import publish
from synthetic.settings import SyntheticSettings
from tests.faults.faults import MATRIX, WHOLE, Fault
from tests.faults.measure import keep, suffer
from tests.faults.scene import Scene
from tests.integration.test_commands import IRSTREAM
from tests.processes import started

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(900)]
SMALL_DISK_BYTES = 64 * 2**20
FPS = 6.0 if WHOLE else 3.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One stream for all faults, one after the other, as in life."""
    folder = tmp_path_factory.mktemp("faults")
    if os.geteuid() != 0:
        with Scene(folder, fps=FPS) as running:
            yield running
        return
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(disk)], check=True)
    try:
        with Scene(folder, fps=FPS, table=disk / "results") as running:
            yield running
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def whole_matrix_only(fault: Fault) -> list[pytest.MarkDecorator]:
    return [] if fault.representative else [pytest.mark.whole_matrix]


@pytest.mark.parametrize("fault", [pytest.param(each, id=each.name, marks=whole_matrix_only(each)) for each in MATRIX])
def test_nothing_is_lost_or_doubled_and_frames_flow_again(scene: Scene, fault: Fault) -> None:
    if why := fault.needs():
        pytest.skip(why)
    cost = suffer(scene, fault)
    keep(cost)
    print({name: value for name, value in vars(cost).items() if name != "series"})
    assert (cost.lost, cost.doubled) == (0, 0)
    assert cost.frames > 0
    assert cost.recover_s <= fault.limit_s


def test_kill_9_and_ctrl_c_cost_no_row_and_leave_no_process(scene: Scene, request: pytest.FixtureRequest) -> None:
    # After all faults the driver dies for good, between the file of some rows and their commit. Another one goes on, in the Ray of the
    # session: asked for here and not as an argument, which would move this test, and a second scene with it, behind those of that Ray.
    joining_local_ray: dict[str, str] = request.getfixturevalue("joining_local_ray")
    driver = scene.drivers[0]
    family = scene.family(driver)
    assert len(family) > 5, "a Ray of its own"
    driver.leave_dead = True
    scene.order("crash", "after_data_file")
    scene.wait(lambda: driver.process.poll() is not None, "the death of the driver")
    assert driver.process.returncode == -signal.SIGKILL
    killed = DeltaTable(str(scene.table)).to_pyarrow_table().num_rows
    with SteadyProducer(scene.kafka) as producer:
        cameras = [SyntheticSettings(seed=seed) for seed in range(3)]
        published = publish(synthetic_source(cameras, "backlog", ContentType.PNG), producer, scene.kafka.topic, limit=600)
    assert published.acked == 600
    waiting = sum(scene.ends().values()) - killed
    assert killed > 0
    assert waiting > 600, "the kill shall come in the middle"
    # Of 150 blocks, one at a time, a fast machine got through an eighth between two lines of progress: the interrupt comes in the middle.
    few_at_once = {"IRSTREAM_STREAM__IN_FLIGHT_BLOCKS": "1", "IRSTREAM_STREAM__BLOCK_MAX_FRAMES": "4"}
    with started([*IRSTREAM, "stream", "--json"], scene.environment(**joining_local_ray, **few_at_once), scene.folder) as stream:
        until_rows_come(stream)
        stream.send_signal(signal.SIGINT)
        out, err = stream.communicate(timeout=600)
        assert stream.returncode == 0, err
    drained = json.loads(out)
    assert drained["drained"]
    assert 0 < drained["progress"]["frames_out"] < waiting, "the interrupt shall come in the middle"
    rows = DeltaTable(str(scene.table)).to_pyarrow_dataset()
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
