"""The driver as a replica of Ray Serve (`serve run ray_config.yaml`, KubeRay): Serve itself starts it again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.measure import keep, suffer
from tests.faults.scene import ROOT, Scene
from tests.faults.takeovers import SERVED

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.whole_matrix]
SERVE_RUN = """
import ray, sys
from ray.serve.scripts import cli
ray.init(num_cpus=8, namespace="serve", include_dashboard=False, log_to_driver=False)
cli(["run", sys.argv[1]])
"""


def test_serve_starts_a_killed_driver_again(tmp_path: Path) -> None:
    with Scene(tmp_path / "scene", words=[sys.executable, "-c", SERVE_RUN, str(ROOT / "ray_config.yaml")]) as scene:
        for fault in SERVED:
            cost = suffer(scene, fault)
            keep(cost)
            print({name: value for name, value in vars(cost).items() if name != "series"})
            assert (cost.lost, cost.doubled, cost.starts) == (0, 0, 0)
            assert cost.frames > 0
