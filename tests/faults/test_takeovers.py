"""Several drivers of one run: partitions move between them, and no frame is lost or doubled on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.faults import Fault
from tests.faults.measure import keep, suffer
from tests.faults.scene import Scene
from tests.faults.takeovers import TAKEOVERS

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.whole_matrix]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One run, at first with one driver."""
    with Scene(tmp_path_factory.mktemp("takeovers"), fps=4.0) as running:
        yield running


@pytest.mark.parametrize("takeover", [pytest.param(each, id=each.name) for each in TAKEOVERS])
def test_partitions_move_without_loss(scene: Scene, takeover: Fault) -> None:
    cost = suffer(scene, takeover)
    keep(cost)
    print({name: value for name, value in vars(cost).items() if name != "series"})
    assert (cost.lost, cost.doubled) == (0, 0)
    assert cost.frames > 0
