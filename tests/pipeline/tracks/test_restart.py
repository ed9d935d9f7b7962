"""A restart is not to be seen in the tracks: the rows of the table are all the state there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contracts.arrow import outcomes_to_table, table_to_outcomes
from contracts.result import FrameResult
from pipeline.tracks import tracker as module
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.tracker import PartitionTracks, needed_from
from tests.pipeline.tracks.scenes import disturbed, finite, frame, run, seen, tracker

NUM = 160
OFTEN = TrackSettings(update_s=0.5, look_back=60)


def state(tracks: PartitionTracks) -> list[tuple[Any, ...]]:
    """All that the next frames depend on, in the order in which it counts."""
    return [
        (each.track_id, each.sensor_id, each.memory, each.last, each.last_seen_at, each.last_offset, each.steps) for each in tracks.tracks()
    ]


def restarted(rows: Sequence[FrameResult], next_offset: int, settings: TrackSettings = OFTEN) -> PartitionTracks:
    """Tracks from the rows that a restart reads."""
    tracks = tracker(settings)
    for row in rows:
        if row.position.offset >= needed_from(next_offset, settings):
            tracks.replay(row.sensor_id, row.captured_at, row.position.offset, row.detections)
    tracks.passed(next_offset - 1)
    return tracks


@pytest.mark.slow
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking these takes minutes
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, NUM - 1), min_size=2, max_size=3))
def test_whenever_the_stream_is_killed_rows_and_events_are_the_same(seed: int, cuts: list[int]) -> None:
    frames = disturbed(seed, NUM)
    unbroken = tracker(OFTEN)
    rows, events = run(unbroken, frames)
    # Through the types of the table: float32, microseconds.
    kept = [each for each in table_to_outcomes(outcomes_to_table(rows, "live")) if isinstance(each, FrameResult)]
    for cut in cuts:
        next_offset = frames[cut].position.offset
        before = tracker(OFTEN)
        _, earlier = run(before, frames[:cut])
        earlier += before.passed(next_offset - 1)
        after = restarted(kept[:cut], next_offset)
        assert state(after) == state(before)
        rows_after, later = run(after, frames[cut:])
        assert rows_after == rows[cut:]
        assert state(after) == state(unbroken)
        made = [(event.change, event.track.track_id, event.position) for event in earlier + later]
        assert sorted(made) == sorted((event.change, event.track.track_id, event.position) for event in events)


def test_who_ends_by_new_settings_is_reported_and_who_had_left_by_the_old_ones_is_not() -> None:
    """One target left by 2 s; another one is missing for 0.4 s at the restart, when the limit becomes 0.3 s."""
    stays = [frame(n, seen(50, 50), *([seen(150, 150)] if n < 5 else [])) for n in range(80)]
    rows, events = run(tracker(), [*stays, *(frame(n) for n in range(80, 90))])
    assert [(event.change, event.position.offset) for event in events if event.change is module.Change.LEFT] == [(module.Change.LEFT, 55)]
    after = restarted(rows, 90, TrackSettings(max_gap_s=0.3))
    _, later = run(after, [frame(n) for n in range(90, 100)])
    assert [(event.change, event.track.track_id, event.position.offset) for event in later] == [(module.Change.LEFT, "frames/0/0#0", 90)]


def test_a_state_that_cannot_be_read_lets_its_target_leave() -> None:
    rows, _ = run(tracker(), [frame(n, seen(50, 50)) for n in range(10)])
    assert all(each.track_state and each.track_state.startswith("[2,") for row in rows for each in row.detections)
    others = [replace(row, detections=tuple(replace(each, track_state="[1,0]") for each in row.detections)) for row in rows]
    _, later = run(restarted(others, 10), [frame(n, seen(50, 50)) for n in range(10, 12)])
    assert [(event.change, event.track.track_id) for event in later] == [
        (module.Change.LEFT, "frames/0/0#0"),
        (module.Change.APPEARED, "frames/0/10#0"),
    ]
    assert (later[0].track.last_offset, later[0].track.memory.first_seen_at) == (9, rows[0].captured_at)


def test_scenes_hold_what_makes_tracks_hard() -> None:
    """Long and short tracks, events of each kind, detections without track; nothing that is no number."""
    rows, events = run(tracker(OFTEN), disturbed(7, NUM))
    tracked = [each for row in rows for each in row.detections if each.track_id is not None]
    assert {event.change for event in events} == set(module.Change)
    assert 0 < len({each.track_id for each in tracked}) < len(tracked) / 2
    assert any(each.track_id is None for row in rows for each in row.detections)
    assert any(each.suppressed_by == "persistence" for each in tracked)
    assert any(each.speed_m_s is not None for each in tracked)
    assert all(finite(each.speed_px_s) and finite(each.speed_m_s) and finite(each.label_score) for each in tracked)
