"""Faults after which going on would be wrong: the stream stops with a clear error and leaves the table as it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pipeline.kafka.client import connect_admin
from pipeline.kafka.topics import ClusterWatch, ensure_topic
from tests.faults.scene import Scene

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.whole_matrix]
EXIT_CODE = 2


def test_a_topic_that_is_deleted_and_created_again_under_load_stops_the_stream(tmp_path: Path) -> None:
    with Scene(tmp_path / "scene") as scene:
        driver = scene.drivers[0]
        driver.leave_dead = True
        admin = connect_admin(scene.kafka)
        admin.delete_topics([scene.kafka.topic])
        admin.close()
        with ClusterWatch(scene.kafka) as watch:
            scene.wait(lambda: watch.find(scene.kafka.topic) is None, "the end of the topic", timeout_s=30)
        ensure_topic(scene.kafka, scene.kafka.topic, scene.partitions)
        began = time.monotonic()
        scene.wait(lambda: driver.process.poll() is not None, "the end of the driver", timeout_s=120)
        print(f"stopped after {time.monotonic() - began:.1f} s")
        told = driver.log.read_text()
        assert driver.process.returncode == EXIT_CODE
        assert "another topic of this name" in told or "it was deleted" in told or "deleted and created again" in told
        assert "Traceback" not in told
        rows = DeltaTable(str(scene.table)).to_pyarrow_table(columns=["source_partition", "source_offset", "ingested_at"])
        positions = list(zip(rows["source_partition"].to_pylist(), rows["source_offset"].to_pylist(), strict=True))
        assert len(positions) == len(set(positions)) > 0
        # Every row was made before the new topic's first message: offsets and times run side by side.
        for partition in range(scene.partitions):
            mine = sorted(
                (offset, at) for (number, offset), at in zip(positions, rows["ingested_at"].to_pylist(), strict=True) if number == partition
            )
            assert [at for _, at in mine] == sorted(at for _, at in mine)
