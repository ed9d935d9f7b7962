"""A restart is not to be seen in the tracks: the rows of the table are all the state there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contracts.arrow import outcomes_to_table, table_to_outcomes
from contracts.result import FrameResult
from pipeline.tracks import tracker as module
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.tracker import PartitionTracks, needed_from
from tests.pipeline.tracks.scenes import disturbed, finite, run, tracker

LOOK_BACK = 60
NUM = 160
OFTEN = TrackSettings(update_s=0.5)


def state(tracks: PartitionTracks) -> list[tuple[Any, ...]]:
    """All that the next frames depend on, in the order in which it counts."""
    return [
        (each.track_id, each.sensor_id, each.memory, each.last, each.last_seen_at, each.last_offset, each.steps) for each in tracks.tracks()
    ]


def restarted(rows: Sequence[FrameResult], next_offset: int) -> PartitionTracks:
    """Tracks from the rows that a restart reads."""
    tracks = tracker(OFTEN)
    for row in rows:
        if row.position.offset >= needed_from(next_offset):
            tracks.replay(row.sensor_id, row.captured_at, row.position.offset, row.detections)
    tracks.passed(next_offset - 1)
    return tracks


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking these takes minutes
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, NUM - 1), min_size=2, max_size=3))
def test_whenever_the_stream_is_killed_rows_and_events_are_the_same(seed: int, cuts: list[int]) -> None:
    frames = disturbed(seed, NUM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LOOK_BACK", LOOK_BACK)
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
