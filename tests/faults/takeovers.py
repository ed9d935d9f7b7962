"""What happens to two drivers of one run: one comes, one dies, one freezes and wakes up as a zombie."""

from __future__ import annotations

import os
import signal

import psutil

from pipeline.kafka.client import connect_admin
from tests.faults.faults import FROZEN_S, Fault
from tests.faults.scene import RUN_ID, Scene
from tests.processes import freeze_process

ZOMBIE_EXIT_CODE = 1


def members(scene: Scene) -> int:
    """How many drivers are in the group, once it has settled; 0 while partitions move."""
    group = f"{scene.kafka.group_hint}.{RUN_ID}.{scene.kafka.topic}"
    admin = connect_admin(scene.kafka)
    try:
        found = admin.describe_groups([group])
    finally:
        admin.close()
    told = found[group] if isinstance(found, dict) else found[0]
    return len(told["members"]) if told["group_state"] == "Stable" else 0


def driver_added(scene: Scene) -> None:
    """A second driver joins; returns when both own partitions."""
    scene.start_driver()
    scene.wait(lambda: members(scene) == 2, "two drivers in the group")


def driver_killed(scene: Scene) -> None:
    """The second driver dies and nobody starts it again."""
    driver = scene.drivers[1]
    driver.leave_dead = True
    driver.process.kill()
    driver.process.wait(60)


def zombie(scene: Scene) -> None:
    """The first driver is frozen until the other one has its partitions and has moved the table, then wakes up."""
    driver = scene.drivers[0]
    driver.leave_dead = True
    freeze_process(driver.process.pid)
    try:
        scene.wait(lambda: members(scene) == 1, "the end of the frozen driver's session", timeout_s=FROZEN_S * 3)
        ends = scene.ends()
        scene.wait(lambda: scene.caught_up_with(ends), "the other driver to take over")
    finally:
        os.kill(driver.process.pid, signal.SIGCONT)
    scene.wait(lambda: driver.process.poll() is not None, "the end of the zombie", timeout_s=90)
    told = driver.log.read_text()
    assert driver.process.returncode == ZOMBIE_EXIT_CODE, (driver.process.returncode, told[-3000:])
    assert "another driver has taken them over" in told
    assert "Traceback" not in told


def replica_killed(scene: Scene) -> None:
    """The driver dies as a replica of Serve; the application it belongs to lives on."""
    victim = scene.find("irstream:stream", "#stream#")[0]
    victim.kill()
    psutil.wait_procs([victim], timeout=60)


SERVED = (Fault("driver as a Serve replica (serve run): SIGKILL", replica_killed),)
TAKEOVERS = (
    Fault("a second driver is added", driver_added),
    Fault("one of two drivers: SIGKILL, not started again", driver_killed),
    Fault("a third driver is added", driver_added),
    Fault("one of two drivers: SIGSTOP until the other has its partitions, then SIGCONT", zombie),
)
