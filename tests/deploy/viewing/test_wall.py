"""The state of the page: frames and rows that belong together, and nothing that grows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from contracts.limits import InputLimits
from contracts.position import KafkaPosition, TopicPartition
from deploy.viewing.shown import outlines
from deploy.viewing.wall import Wall
from pipeline.events.targets import TargetMessage
from tests.deploy.viewing.messages import NOON, record, row, sight
from tests.outcomes import detection, letter
from tests.pinned import DOCS


def wall(**bounds: int) -> Wall:
    return Wall("live", InputLimits(min_side_px=1), **bounds, now=lambda: NOON.timestamp() + 2)


def only(found: dict[str, Any]) -> dict[str, Any]:
    (sensor,) = found["sensors"]
    assert isinstance(sensor, dict)
    return sensor


def test_a_picture_is_the_newest_frame_that_has_a_row() -> None:
    page = wall()
    page.add_frames([record(offset) for offset in range(4)])
    key = only(page.changes(0))["key"]
    assert (first := page.picture(key)) is not None
    assert (first.record, first.result) == (record_at(page, key, 3), None)
    page.add_rows([row(1, "cam-1", sight("a", 3, 4)), row(2, "cam-1", sight("a", 5, 4))])
    page.tick()
    page.tick()
    assert (second := page.picture(key)) is not None
    assert second.record is not None
    assert second.result is not None
    assert second.record.position == second.result.position == KafkaPosition("frames", 0, 2)
    assert second.tails == {"a": [(3, 4), (5, 4)]}
    assert (live := page.picture(key, live=True)) is not None
    assert live.record is not None
    assert live.record.position.offset == 3


def record_at(page: Wall, key: int, offset: int) -> Any:
    picture = page.picture(key, live=True)
    assert picture is not None
    assert picture.record is not None
    assert picture.record.position.offset == offset
    return picture.record


def test_a_row_whose_frame_was_stepped_over_leaves_the_picture_before_it() -> None:
    page = wall()
    page.add_frames([record(0), record(5)])
    page.add_rows([row(0, "cam-1", sight("a", 3, 4)), row(3, "cam-1", sight("a", 5, 4), at=NOON + timedelta(seconds=1))])
    for _ in range(2):
        page.tick()
    key = only(page.changes(0))["key"]
    assert (before := page.picture(key)) is not None
    assert before.result is not None
    assert before.result.position.offset == 0
    page.add_rows([row(4, "cam-1", at=NOON + timedelta(seconds=20))])
    page.tick()
    assert (later := page.picture(key)) is not None
    assert (later.result, later.record) == (None, record_at(page, key, 5))


def test_rows_of_one_commit_are_shown_one_after_the_other() -> None:
    page = wall()
    page.add_rows([row(offset, "cam-1") for offset in range(5)])
    seen = []
    for _ in range(5):
        page.tick()
        seen.append(only(page.changes(0))["position"])
    assert seen == [f"frames/0/{offset}" for offset in range(5)]


def test_200_sensors_that_nobody_has_rows_for_stay_within_their_bytes() -> None:
    """At 5 frames/s for 6 s; the newest frame of each is there."""
    bound = 4 * 2**20
    page, pixels_HW = wall(max_bytes=bound), np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    like = record(0, "x", pixels_HW)
    for offset in range(200 * 30):
        page.add_frames([replace(like, position=KafkaPosition("frames", 0, offset), key=b"cam-%d" % (offset % 200))])
    assert bound / 2 < page.held_bytes <= bound
    keys = page.changes(0)["keys"]
    assert len(keys) == 200
    newest = [page.picture(key) for key in keys]
    assert sorted(each.record.position.offset for each in newest if each and each.record) == list(range(200 * 29, 200 * 30))


def test_a_sensor_that_sends_much_takes_no_room_from_the_others() -> None:
    page, noise_HW = wall(max_bytes=2**20), np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
    page.add_frames([record(0, "quiet")])
    page.add_frames([record(offset, "loud", noise_HW) for offset in range(1, 200)])
    quiet = next(each["key"] for each in page.changes(0)["sensors"] if each["id"] == "quiet")
    assert (picture := page.picture(quiet)) is not None
    assert picture.record is not None


def test_names_of_strangers_do_not_add_up() -> None:
    page = wall(max_sensors=10)
    page.add_frames([record(offset, f"cam-{offset}") for offset in range(50)])
    found = page.changes(0)
    assert len(found["keys"]) == len(found["sensors"]) == 10
    assert {each["id"] for each in found["sensors"]} == {f"cam-{offset}" for offset in range(40, 50)}
    assert page.picture(1) is None


def test_only_what_is_new_is_said() -> None:
    page = wall()
    page.add_frames([record(0, "one"), record(1, "two")])
    page.add_rows([letter(2, sensor_id="one")])
    said = page.changes(0)
    assert (said["reasons"], [each["reason"] for each in said["rejections"]]) == ({"corrupt_image": 1}, ["corrupt_image"])
    assert page.changes(said["version"])["sensors"] == []
    page.add_frames([record(3, "two")])
    page.set_lag({TopicPartition("frames", 0): 10}, {TopicPartition("frames", 0): 7})
    more = page.changes(said["version"])
    assert ([each["id"] for each in more["sensors"]], more["keys"], more["rejections"], more["lag"]) == (["two"], None, [], 3)


def test_health_tells_rate_and_silence() -> None:
    page = wall()
    page.add_frames([record(offset, at=NOON + timedelta(seconds=offset / 5)) for offset in range(6)])
    sensor = only(page.changes(0))
    assert (sensor["per_s"], sensor["heard_at"]) == (5.0, NOON.timestamp() + 1)


def test_an_event_that_comes_again_is_shown_once() -> None:
    page = wall()
    event = TargetMessage.model_validate_json((DOCS / "events.example.json").read_text())
    page.add_events([event, event, event.model_copy(update={"run_id": "other", "id": "other"})])
    assert [each["event"] for each in page.changes(0)["events"]] == ["updated"]


def test_a_mask_is_outlined_along_the_edges_of_its_pixels() -> None:
    mask_HW = np.zeros((8, 10), np.uint8, order="F")
    mask_HW[3:5, 4:7] = 1
    rle = coco_mask.encode(mask_HW)["counts"].decode()
    target = replace(detection(), x_min_px=4, y_min_px=3, x_max_px=7, y_max_px=5, mask_rle=rle)
    (line,) = outlines(target, row(0))
    assert {tuple(point) for point in line} == {(4, 3), (4, 5), (7, 5), (7, 3)}
    assert outlines(replace(target, mask_rle="no mask at all"), row(0)) == []
