"""Rules of tracks, each by a few frames."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from contracts.result import FrameResult, label_of
from pipeline.inference.rules import Filters
from pipeline.sensor_settings import AlertSettings, Persistence
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.tracker import Change, PartitionTracks
from tests.pipeline.tracks.scenes import NOON, PARTITION, frame, ids, run, seen, tracker


def named(offset: int, **class_scores: float) -> FrameResult:
    return frame(offset, seen(50, 50, label=max(class_scores, key=class_scores.__getitem__), class_scores=class_scores))


def test_a_target_of_three_pixels_that_moves_is_one_track() -> None:
    """Five pixels a frame: no box overlaps the one before; it is missed in between, and fades."""
    frames = [frame(n, seen(10 + 5 * n, 20 - n, score=0.9 if n % 4 else 0.2)) for n in range(1, 30) if n % 7]
    rows, events = run(tracker(), frames)
    assert {name for row in rows for name in ids(row)} == {"frames/0/1#0"}
    assert [event.change for event in events] == [Change.APPEARED]
    last = rows[-1].detections[0]
    assert last.track_age_s == pytest.approx(28 * 0.04, abs=1e-6)
    assert last.speed_px_s == pytest.approx(26**0.5 / 0.04, rel=0.01)


def test_targets_that_cross_keep_their_tracks() -> None:
    frames = [
        frame(n, *sorted([seen(4 * n, 50 + 0.3), seen(120 - 4 * n, 50 - 0.3)], key=lambda each: each.centroid_x_px)) for n in range(31)
    ]
    rows, _ = run(tracker(), frames)
    assert ids(rows[0]) == ["frames/0/0#0", "frames/0/0#1"]
    assert ids(rows[-1]) == ["frames/0/0#1", "frames/0/0#0"]


def test_an_unsure_detection_begins_no_track_and_a_second_box_of_a_target_neither() -> None:
    rows, _ = run(tracker(), [frame(0, seen(50, 50, size_px=20), seen(54, 50, size_px=8), seen(200, 9, score=0.39))])
    assert ids(rows[0]) == ["frames/0/0#0", None, None]


def test_what_a_filter_suppresses_begins_no_track_and_makes_no_event() -> None:
    weak = replace(seen(50, 50), suppressed_by="min_score")
    rows, events = run(tracker(), [frame(0, replace(seen(50, 50), suppressed_by="display")), frame(1, weak)])
    assert [ids(row) for row in rows] == [[None], [None]]
    assert events == []
    rows, events = run(tracker(TrackSettings(update_s=0.01)), [frame(0, seen(50, 50)), frame(1, weak)])
    assert [ids(row) for row in rows] == [["frames/0/0#0"]] * 2, "a target that fades keeps its track"
    assert [event.change for event in events] == [Change.APPEARED]


@pytest.mark.parametrize(
    ("times_s", "left"),
    [
        pytest.param([0.04 * n for n in range(1, 50)], 0, id="not yet"),
        pytest.param([0.04 * n for n in range(1, 53)], 1, id="two seconds"),
        pytest.param([30.0, 60.0], 0, id="a slow camera: two frames"),
        pytest.param([30.0, 60.0, 90.0, 120.0], 1, id="a slow camera: three frames"),
        pytest.param([0.0] * 61, 0, id="a clock that stands still"),
        pytest.param([0.0] * 62, 1, id="a clock that stands still: sixty frames"),
    ],
)
def test_a_target_has_left_when_it_is_not_seen_for_long_enough(times_s: list[float], left: int) -> None:
    frames = [frame(n, seen(50, 50), at_s=0.04 * (n - 2)) for n in range(3)]
    frames += [frame(n + 3, at_s=at_s) for n, at_s in enumerate(times_s)]
    tracks = tracker()
    _, events = run(tracks, frames)
    assert [event.change for event in events] == [Change.APPEARED] + [Change.LEFT] * left
    assert len(tracks) == 1 - left


def test_frames_that_do_not_follow_each_other_make_no_stories() -> None:
    """A folder of single images, three targets in each: chance must not rename them."""
    luck = random.Random(1)
    places = [[(luck.uniform(0, 256), luck.uniform(0, 256), luck.choice(["drone", "bird"])) for _ in range(3)] for _ in range(200)]
    rows, _ = run(tracker(), [frame(n, *(seen(x, y, size_px=8.0, label=label) for x, y, label in each)) for n, each in enumerate(places)])
    renamed = [
        label != found.label
        for row, each in zip(rows, places, strict=True)
        for found, (*_, label) in zip(row.detections, each, strict=True)
    ]
    assert sum(renamed) < 0.04 * len(renamed)


def test_a_track_of_one_sight_ends_after_three_frames() -> None:
    rows, events = run(tracker(), [frame(0, seen(50, 50)), *(frame(n) for n in range(1, 4)), frame(4, seen(50, 50))])
    assert ids(rows[-1]) == ["frames/0/4#0"]
    assert [event.change for event in events] == [Change.APPEARED, Change.LEFT, Change.APPEARED]


def test_a_sensor_that_falls_silent_is_forgotten_and_its_targets_have_left() -> None:
    tracks = tracker(TrackSettings(look_back=20))
    _, events = run(tracks, [frame(3, seen(50, 50), sensor_id="a"), *(frame(n, sensor_id="b") for n in range(4, 24))])
    assert [event.change for event in events] == [Change.APPEARED]
    (event,) = tracks.passed(40)
    assert (event.change, event.track.sensor_id, event.position.offset) == (Change.LEFT, "a", 24)
    assert (len(tracks), tracks._by_sensor) == (0, {})


def test_the_label_is_a_vote_and_has_its_own_score() -> None:
    """Nine frames say helicopter, every third one bird: the label stays, and its score is the mean."""
    rows, _ = run(tracker(), [named(n, bird=0.6, helicopter=0.3) if n % 3 == 2 else named(n, helicopter=0.9, bird=0.1) for n in range(9)])
    assert [row.detections[0].label for row in rows] == ["helicopter"] * 9
    assert rows[-1].detections[0].label_score == pytest.approx((6 * 0.9 + 3 * 0.3) / 9, abs=1e-4)


def test_a_label_changes_once_another_class_is_ahead_and_sure() -> None:
    """First far away and called a bird, then near and a helicopter: no way back and forth, and none over `target`."""
    far, near = [named(n, bird=0.6, helicopter=0.4) for n in range(5)], [named(n, bird=0.2, helicopter=0.8) for n in range(5, 25)]
    labels = [row.detections[0].label for row in run(tracker(), far + near)[0]]
    changes = [number for number, (one, other) in enumerate(pairwise(labels), start=1) if one != other]
    assert (set(labels), len(changes)) == ({"bird", "helicopter"}, 1)
    assert 7 <= changes[0] <= 11


@pytest.mark.parametrize(
    ("settings", "often", "score", "hidden_by"),
    [
        pytest.param({"hidden_labels": ("bird",)}, "bird", 0.9, "hidden_labels", id="a bird that is a drone now and then"),
        pytest.param({"hidden_labels": ("bird",)}, "drone", 0.9, None, id="a drone that is a bird now and then"),
        pytest.param({"shown_labels": ("drone",)}, "drone", 0.7, None, id="a drone whose name is missed now and then"),
        pytest.param({"shown_labels": ("drone",)}, "bird", 0.7, "shown_labels", id="a bird that has the wanted name now and then"),
    ],
)
def test_label_filters_judge_the_label_of_the_track(settings: dict[str, Any], often: str, score: float, hidden_by: str | None) -> None:
    """Four of five frames say one thing, every fifth another; rows and events agree on the vote."""
    filters = Filters(AlertSettings(**settings))
    rare = "drone" if often == "bird" else "bird"
    said = [(rare, 0.6) if n % 5 == 4 else (often, score) for n in range(30)]
    frames = [filters.marked(frame(n, seen(50, 50, label=label, class_scores={label: sure}))) for n, (label, sure) in enumerate(said)]
    assert {each.suppressed_by is None for row in frames for each in row.detections} == {True, False}
    rows, events = run(PartitionTracks(PARTITION, TrackSettings(), 0.5, lambda _: filters), frames)
    assert {each for row in rows for each in ids(row)} == {"frames/0/0#0"}
    assert {(each.label, each.suppressed_by) for row in rows for each in row.detections} == {(often, hidden_by)}
    assert [event.change for event in events] == ([] if hidden_by else [Change.APPEARED])


def test_a_vetoed_sight_begins_no_track_makes_no_event_and_breaks_none() -> None:
    def sight(n: int, clutter: float) -> FrameResult:
        scores = {"clutter": clutter, "bird": 1 - clutter}
        return filters.marked(frame(n, seen(50 + n, 50, label=label_of(scores, 0.5)[0], class_scores=scores)))

    filters = Filters(AlertSettings(), clutter_veto=0.9)
    rows, events = run(PartitionTracks(PARTITION, TrackSettings(), 0.5, lambda _: filters), [sight(n, 0.95) for n in range(6)])
    assert ({each for row in rows for each in ids(row)}, events) == ({None}, [])
    frames = [sight(n, 0.95 if n % 3 == 2 else 0.6) for n in range(9)]
    rows, events = run(PartitionTracks(PARTITION, TrackSettings(), 0.5, lambda _: filters), frames)
    assert {each for row in rows for each in ids(row)} == {"frames/0/0#0"}, "one track through the vetoed frames"
    assert [each.suppressed_by for row in rows for each in row.detections] == [None, None, "clutter"] * 3
    assert {each.label for row in rows for each in row.detections} == {"target"}, "the vote is for clutter, which is no label"
    assert [event.change for event in events] == [Change.APPEARED]


def test_without_filters_what_suppressed_a_sight_stays() -> None:
    """Rows of which tracks are made anew, as `irstream evaluate --tracks --again` does, were filtered before."""
    hidden = replace(seen(50, 50, label="bird"), suppressed_by="hidden_labels")
    rows, events = run(PartitionTracks(PARTITION, TrackSettings(), 0.5), [frame(n, hidden) for n in range(4)])
    assert {(each.track_id, each.suppressed_by) for row in rows for each in row.detections} == {("frames/0/0#0", "hidden_labels")}
    assert events == []


def test_events_say_how_a_target_went() -> None:
    frames = [frame(n, seen(50 + n, 50, score=0.95 if n == 4 else 0.8), at_s=n) for n in range(8)] + [
        frame(n, at_s=n) for n in range(8, 12)
    ]
    _, events = run(tracker(TrackSettings(update_s=3.0)), frames)
    assert [(event.change, event.position.offset) for event in events] == [
        (Change.APPEARED, 0),
        (Change.UPDATED, 3),
        (Change.UPDATED, 6),
        (Change.LEFT, 11),
    ]
    left = events[-1].track
    assert (left.memory.num_seen, left.last_offset, left.memory.best.offset) == (8, 7, 4)
    assert (left.last_seen_at - NOON).total_seconds() == 7


def test_frames_of_two_clocks_make_no_more_events_than_those_of_one() -> None:
    """An hour apart: the one ahead counts; where a clock is set back, events begin again after a while."""
    apart = [frame(n, seen(50, 50), at_s=0.04 * n + 3600 * (n % 2)) for n in range(100)]
    _, events = run(tracker(), apart)
    assert [event.change for event in events] == [Change.APPEARED, Change.UPDATED]
    back = [frame(n, seen(50, 50), at_s=0.04 * n - 3600 * (n > 0)) for n in range(900)]
    _, events = run(tracker(), back)
    assert [event.position.offset for event in events] == [0, 500, 750]


def test_speed_on_the_ground_is_in_metres_where_places_are_known() -> None:
    """A thousandth of a degree of latitude a second is 111.2 m/s."""
    placed = [replace(seen(50, 50), latitude=50 + 4e-5 * n, longitude=8.0) for n in range(50)]
    rows, _ = run(tracker(), [frame(n, each) for n, each in enumerate(placed)])
    assert rows[-1].detections[0].speed_m_s == pytest.approx(111.2, rel=0.01)
    assert rows[-1].detections[0].speed_px_s == 0.0


@pytest.mark.parametrize(
    ("seen_in", "shown_from"),
    [
        pytest.param([0, 1, 2], 2, id="three in a row"),
        pytest.param([0, 2, 4], 4, id="three of five"),
        pytest.param([0, 3, 5, 7], 7, id="never more than two of five before"),
        pytest.param([0, 1, 2, 40], 2, id="for ever after"),
    ],
)
def test_a_target_is_shown_when_it_was_seen_in_three_of_five_frames(seen_in: list[int], shown_from: int) -> None:
    own, common = (Filters(AlertSettings(persistence=each)) for each in (Persistence(seen=3, of=5), Persistence()))
    tracks = PartitionTracks(PARTITION, TrackSettings(), 0.5, lambda name: own if name == "cam" else common)
    frames = [frame(n, seen(50, 50)) if n in seen_in else frame(n) for n in range(seen_in[-1] + 1)]
    rows, events = run(tracks, frames)
    hidden = {row.position.offset for row in rows for each in row.detections if each.suppressed_by == "persistence"}
    assert hidden == {n for n in seen_in if n < shown_from}
    assert [(event.change, event.position.offset) for event in events] == [(Change.APPEARED, shown_from)]
