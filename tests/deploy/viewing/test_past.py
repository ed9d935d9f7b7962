"""Answers about single rows and former ones: the way of a row, tracks as strips, history, zones."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.frame import RawRecord
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import Outcome
from deploy.settings.app_settings import load_settings
from deploy.viewing.access import App, Gate
from deploy.viewing.history import Asked, History
from deploy.viewing.memory_feeds import MemoryLog, MemoryRows, MemoryTail
from deploy.viewing.past import Past
from deploy.viewing.server import Page, application
from deploy.viewing.wall import Wall
from deploy.viewing.watcher import Watcher
from deploy.viewing.zones import ZoneEditor
from pipeline.inference.rules import SensorRules
from pipeline.kafka.settings import KafkaSettings
from pipeline.ops.explain import explain
from pipeline.table.delta import open_results
from pipeline.table.results_table import ResultsTable
from tests.deploy.viewing.asgi import ask
from tests.deploy.viewing.messages import LIMITS, NOON, record, row, sight
from tests.outcomes import letter

TRACK = "frames/0/2#0"
SETTINGS = """# ours
applications:
  - import_path: deploy.app:build
    args:
      alerts:
        zones: {lamp: {rectangle_px: [0, 0, 2, 2]}} # burnt in
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rows, a second apart: a track from the third on, one lamp in each, a rejection at the end."""
    folder = tmp_path_factory.mktemp("table") / "results"
    rows: list[Outcome] = []
    for offset in range(12):
        at = NOON + timedelta(seconds=offset)
        found = [sight("frames/0/0#0", 1, 1, "lamp")] + ([sight(TRACK, 3 + offset / 2, 4)] if offset >= 2 else [])
        rows.append(row(offset, "cam-1", *found, at=at))
    rows.append(letter(12))
    results = ResultsTable(str(folder), "live", compact_after_commits=0)
    results.open_or_create()
    results.append(rows, [OffsetRange("frames", 0, 0, 13)], {"frames": "an-id"})
    return folder


def page(table: Path, config: Path, *, may_write: bool = True) -> App:
    messages = {each.position: each for each in (record(offset, pixels_HW=counts(offset)) for offset in range(12))}

    def fetch(positions: Any) -> dict[KafkaPosition, RawRecord]:
        return {each: messages[each] for each in positions if each.offset != 7}  # one is gone

    def explained(position: KafkaPosition) -> Any:
        return explain(KafkaSettings(), open_results(str(table), {}), "live", position, lambda each: (messages.get(each), False))

    zones = ZoneEditor(lambda: load_settings(config), config)
    past = Past(History(str(table), {}, "live"), zones, explained, fetch, may_write)
    wall, log = Wall("live", LIMITS), MemoryLog()
    watcher = Watcher(wall, lambda: MemoryTail(log, ["frames"], 1), None, MemoryRows())
    return application(Page(wall, watcher, LIMITS, Gate(None, False, 1), {}, past))


def counts(offset: int) -> Any:
    return np.full((8, 10), 100 + offset, np.uint8)


def unpacked(body: bytes) -> Any:
    length = int.from_bytes(body[:4], "little")
    head = json.loads(body[4 : 4 + length])
    for frame in head["frames"]:
        if "bytes" in frame:
            frame["counts"] = body[4 + length + frame["blob_at"] :][: frame["bytes"]]
    return head


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "ray_config.yaml"
    file.write_text(SETTINGS)
    return file


def test_a_row_comes_with_its_frame_and_its_way(table: Path, config: Path) -> None:
    app = page(table, config)
    found = unpacked(ask(app, "/api/row?position=frames/0/5").body)
    (frame,) = found["frames"]
    assert (found["sensor_id"], frame["row"]["position"], frame["counts"][0]) == ("cam-1", "frames/0/5", 105)
    assert [each["track_id"] for each in frame["row"]["detections"]] == ["frames/0/0#0", TRACK]
    assert [name for name, _ in found["lines"]][-2:] == ["visible since", "file"]
    waiting = unpacked(ask(app, "/api/row?position=frames/0/99").body)
    assert (waiting["frames"][0]["row"], "not come this far" in waiting["lines"][1][1]) == (None, True)
    assert ask(app, "/api/row?position=nonsense").status == 400


def test_a_track_is_a_strip_around_its_target(table: Path, config: Path) -> None:
    found = unpacked(ask(page(table, config), f"/api/track?sensor=cam-1&id={TRACK.replace('#', '%23')}&at=frames/0/6").body)
    assert [each["position"] for each in found["sights"]] == [f"frames/0/{offset}" for offset in range(2, 12)]
    gone = next(each for each in found["frames"] if each["position"] == "frames/0/7")
    assert gone["error"] == "not in Kafka any more"
    first = found["frames"][0]
    assert (first["counts"][0], first["box"]) == (102, [3, 3, 5, 5])
    assert unpacked(ask(page(table, config), "/api/track?sensor=cam-1&id=none&at=frames/0/6").body)["sights"] == []


def test_history_counts_and_lists(table: Path, config: Path) -> None:
    app = page(table, config)
    until = (NOON + timedelta(seconds=60)).timestamp()
    found = ask(app, f"/api/history?hours=0.1&until={until}&only=targets&sensor=cam-1").json()
    assert found["num"] == {"frames": 12, "targets": 10, "rejected": 1}
    assert sum(found["buckets"]["frames"]) == 12
    assert [each["position"] for each in found["rows"]][:2] == ["frames/0/11", "frames/0/10"]
    assert (found["rows"][0]["words"], found["rows"][0]["suppressed"]) == ("target 0.75, drone 0.50", 1)
    rejected = ask(app, f"/api/history?hours=0.1&until={until}&only=rejected").json()
    assert [(each["status"], each["position"]) for each in rejected["rows"]] == [("rejected", "frames/0/12")]
    assert ask(app, "/api/history?hours=nan").status == 400
    assert History(str(table), {}, "other").timeline(asked())["num"] == {"frames": 0, "targets": 0, "rejected": 0}


def asked() -> Asked:
    return Asked(sensor_id=None, since=datetime(2026, 3, 1, tzinfo=UTC), until=datetime(2026, 3, 2, tzinfo=UTC))


def drawn(**changes: Any) -> dict[str, Any]:
    return {"sensor_id": "cam-1", "name": "road", "zone": {"rectangle_px": [3, 3, 6, 5]}} | changes


def test_a_zone_shows_its_effect_and_is_written_when_confirmed(table: Path, config: Path) -> None:
    """Counted again by the filters of a stream with the file that was written."""
    app = page(table, config)
    assert [each["name"] for each in ask(app, "/api/zones?sensor=cam-1").json()["zones"]] == ["lamp"]
    shown = ask(app, "/api/zones/preview", drawn(rows=10)).json()
    assert (shown["num_rows"], shown["num_shown"], shown["num_alerting"], shown["labels"]) == (10, [10, 5], [10, 5], {"drone": 5})
    assert shown["examples"] == [f"frames/0/{offset}" for offset in (6, 5, 4, 3, 2)]
    assert config.read_text() == SETTINGS
    assert ask(app, "/api/zones/write", drawn(digest=shown["digest"])).status == 400
    assert ask(app, "/api/zones/write", drawn(digest="another", confirm=True)).status == 409
    assert config.read_text() == SETTINGS
    done = ask(app, "/api/zones/write", drawn(digest=shown["digest"], confirm=True))
    assert done.json() == {"file": str(config)}
    settings = load_settings(config).settings
    assert list(settings.sensors["cam-1"].alerts.zones or ()) == ["lamp", "road"]
    assert "# ours" in config.read_text()
    filters = SensorRules(0, settings.alerts, settings.sensors).filters("cam-1")
    judged = [filters.marked(replace(row(0, "cam-1", sight(TRACK, 3 + offset / 2, 4)))).shown for offset in range(2, 12)]
    assert sum(map(len, judged)) == 5
    assert ask(app, "/api/zones/write", drawn(digest=shown["digest"], confirm=True)).status == 409


WRONG: tuple[dict[str, Any], ...] = (
    {"name": "min_score"},
    {"name": "lamp"},
    {"name": "a\nb"},
    {"name": ""},
    {"sensor_id": None},
    {"zone": {"rectangle_px": [1, 1, 1, 2]}},
    {"zone": {"polygon_px": [[0, 0], [1, 1]]}},
    {"zone": {"effect": "hide", "rectangle_px": [0, 0, 2, 2]}},
    {"zone": "all"},
)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_is_no_zone_is_refused_and_nothing_written(table: Path, config: Path, wrong: dict[str, Any]) -> None:
    app = page(table, config)
    assert ask(app, "/api/zones/preview", drawn(**wrong)).status == 409
    assert ask(app, "/api/zones/write", drawn(**wrong, digest="", confirm=True)).status == 409
    assert config.read_text() == SETTINGS


def test_a_page_that_may_not_write_does_not(table: Path, config: Path) -> None:
    app = page(table, config, may_write=False)
    shown = ask(app, "/api/zones/preview", drawn()).json()
    assert ask(app, "/api/zones/write", drawn(digest=shown["digest"], confirm=True)).status == 403
    assert config.read_text() == SETTINGS
