"""The crash matrix: after each fault every frame has exactly one row, and the stream is alive again without a person."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.faults.faults import MATRIX, WHOLE, Fault
from tests.faults.measure import keep, suffer
from tests.faults.scene import Scene

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
