"""What is done to a stream, one fault after the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from contracts.frame import ContentType
from deploy.settings.app_settings import ModelsSettings
from pipeline.inputs.cameras import synthetic_source
from pipeline.kafka.client import connect_admin
from pipeline.kafka.producer import SteadyProducer
from pipeline.publish import publish
from tests.faults.driver import CRASH_STEPS
from tests.faults.scene import CAMERAS, Driver, Scene
from tests.processes import freeze_process
from tests.retrained import retrained

WHOLE = "FAULTS_OUT" in os.environ
"""Somebody reads what the faults cost; else they last just long enough to do their harm."""
FROZEN_S = 20.0
AWAY_S = 30.0
FULL_S = 15.0
SLOW_S = 20.0
SLOWER = 20
COMMIT_FAILED = "commit_waits"  # in the log of a driver


@dataclass(frozen=True)
class Fault:
    """One row of the matrix.

    Attributes:
        name: of the row.
        inject: does it; returns when the fault itself is over (a killed process is dead, a frozen one runs again).
        representative: also run by `make test`.
        limit_s: frames that were published before its end must have their rows within this time.
        needs: why it cannot be done here; empty when it can.
    """

    name: str
    inject: Callable[[Scene], None]
    representative: bool = False
    limit_s: float = 180.0
    needs: Callable[[], str] = lambda: ""


def kill(*marks: str) -> Callable[[Scene], None]:
    """SIGKILL of all processes of one kind."""

    def inject(scene: Scene) -> None:
        victims = scene.find(*marks)
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(victims, timeout=60)

    return inject


def kill_model(role: str) -> Callable[[Scene], None]:
    """SIGKILL of one network's process."""

    def inject(scene: Scene) -> None:
        victim = scene.model(role)
        victim.kill()
        psutil.wait_procs([victim], timeout=60)

    return inject


def kill_driver(scene: Scene) -> None:
    """SIGKILL of the driver; the supervisor starts it again."""
    died(scene, lambda driver: driver.process.kill())


def kill_driver_at(step: str) -> Callable[[Scene], None]:
    """The driver dies at a step of its next commit."""
    return lambda scene: died(scene, lambda driver: scene.order("crash", step))


def died(scene: Scene, by: Callable[[Driver], None]) -> None:
    """Do something a driver dies of, and wait until the supervisor has seen it."""
    driver = scene.drivers[0]
    starts = driver.starts
    by(driver)
    scene.wait(lambda: driver.starts > starts, "the death of the driver")


def broker_killed(scene: Scene) -> None:
    """SIGKILL of the broker, started again at once."""
    away(scene, 0.0)


def broker_away(scene: Scene) -> None:
    """Nobody listens at the broker's address for 30 s."""
    away(scene, AWAY_S)


def away(scene: Scene, seconds: float) -> None:
    """Kill the broker and start it again."""
    process = psutil.Process(scene.broker.info.pid)
    process.kill()
    process.wait(60)
    time.sleep(seconds)
    scene.broker.start()


def freeze(find: Callable[[Scene], int]) -> Callable[[Scene], None]:
    """SIGSTOP for 20 s."""

    def inject(scene: Scene) -> None:
        pid = find(scene)
        freeze_process(pid)
        try:
            time.sleep(FROZEN_S)
        finally:
            os.kill(pid, signal.SIGCONT)

    return inject


def object_store_full(scene: Scene) -> None:
    """All room of the object store is held by somebody for 15 s."""
    scene.order("hoard", str(FULL_S))
    marker = scene.folder / "hoarding"
    scene.wait(marker.exists, "a full object store")
    scene.wait(lambda: not marker.exists(), "the end of the hoard")


def disk_full(scene: Scene) -> None:
    """Not one byte more fits where the table is, until a commit has failed of it, and where somebody reads the cost for 15 s."""
    ballast, log = scene.table.parent / "ballast", scene.drivers[0].log
    failed = log.read_text().count(COMMIT_FAILED)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 2**12)
    assert shutil.disk_usage(ballast).free < 2**16
    time.sleep(FULL_S if WHOLE else 0.0)
    scene.wait(lambda: log.read_text().count(COMMIT_FAILED) > failed, "a commit that fails")
    ballast.unlink()


def no_small_disk() -> str:
    """A file system of its own for the table can be made by root only."""
    return "" if os.geteuid() == 0 and Path("/proc/mounts").exists() else "needs root, to mount a small file system"


def slow_consumer(scene: Scene) -> None:
    """The detector computes a twentieth of the time, for 20 s."""
    pid = scene.model("detector").pid
    until = time.monotonic() + SLOW_S
    try:
        while time.monotonic() < until:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.05 * (SLOWER - 1))
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def partition_added(scene: Scene) -> None:
    """The topic gets one partition more."""
    scene.partitions += 1
    admin = connect_admin(scene.kafka)
    admin.create_partitions({scene.kafka.topic: scene.partitions})
    admin.close()
    # A new client knows of it at once, the cameras' own within five minutes. Keys choose partitions: some of these choose the new one.
    with SteadyProducer(scene.kafka) as producer:
        publish(synthetic_source(CAMERAS[:1] * 8, "added", ContentType.PNG), producer, scene.kafka.topic, limit=24)
    assert scene.ends()[scene.partitions - 1] > 0, "no frame in the new partition proves nothing"


def model_exchanged(scene: Scene) -> None:
    """No fault, but what an operator does under load: other weights in the settings file, and SIGHUP."""
    model = ModelsSettings().segmenter.model
    args = {"models": {"segmenter": {"model": model, "weights": str(retrained(scene.folder, model))}}}
    application = {"name": "irstream", "import_path": "deploy.app:build", "args": args}
    (scene.folder / "ray_config.yaml").write_text(json.dumps({"applications": [application]}))  # JSON is YAML
    driver = scene.drivers[0]
    driver.process.send_signal(signal.SIGHUP)
    scene.wait(lambda: "the changed models are at work" in driver.log.read_text(), "the exchange")


READERS = "KafkaEpoch"
MATRIX = (
    Fault("read and decode worker (one fused process each): SIGKILL", kill(READERS), representative=True),
    Fault("detector: SIGKILL", kill_model("detector"), representative=True),
    Fault("segmenter: SIGKILL", kill_model("segmenter")),
    Fault("classifier: SIGKILL", kill_model("classifier")),
    Fault("coordinator of the generation: SIGKILL", kill("ray::ReadCoordinator"), representative=True),
    Fault("Serve controller: SIGKILL", kill("ray::ServeController"), representative=True),
    Fault("raylet: SIGKILL", kill("raylet/raylet"), limit_s=240),
    Fault("driver: SIGKILL", kill_driver),
    # A driver that is killed and started again is in `make test` too: the last test of test_matrix.py.
    *(Fault(f"committer, {step.replace('_', ' ')}: SIGKILL", kill_driver_at(step)) for step in CRASH_STEPS),
    Fault("broker: SIGKILL, started again at once", broker_killed, representative=True),
    Fault("broker: unreachable for 30 s", broker_away),
    Fault("broker: SIGSTOP for 20 s", freeze(lambda scene: scene.broker.info.pid)),
    Fault("driver: SIGSTOP for 20 s", freeze(lambda scene: scene.drivers[0].process.pid)),
    Fault("segmenter: SIGSTOP for 20 s", freeze(lambda scene: scene.model("segmenter").pid)),
    Fault("object store full for 15 s", object_store_full),
    Fault("disk of the table full for 15 s" if WHOLE else "disk of the table full", disk_full, representative=True, needs=no_small_disk),
    Fault("detector 20 times slower for 20 s", slow_consumer),
    # In `make test` too: tests/integration/test_stream_rules.py.
    Fault("a partition is added", partition_added),
    Fault("no fault: the segmenter is exchanged (SIGHUP)", model_exchanged),
)
