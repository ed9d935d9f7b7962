"""Tracks of one partition, frame by frame in the order of its log.

Everything follows from the rows: a track's state stands in the row of its last sight, and what ends it (frames of its sensor without a
sight, offsets that have passed) is counted from the rows after that. `replay` goes through the last rows of the table and leaves what
`advance` left when it made them, so a restart is not to be seen in the tracks.

Memory is bounded: a track that was not seen within `look_back` offsets of the partition has ended, and a sensor without tracks is
forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Protocol

from contracts.position import KafkaPosition, TopicPartition
from contracts.result import CLUTTER, UNNAMED, Detection, FrameResult
from pipeline.sensor_settings import HIDDEN_LABELS, SHOWN_LABELS, Persistence
from pipeline.tracks.matching import assign, beginners, usable
from pipeline.tracks.motion import Motion
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.speed import Speed, metres_between
from pipeline.tracks.track import Best, Memory, Track, as_float32, box_px, changed, size_px, track_id_of
from pipeline.tracks.votes import counted, elected

PERSISTENCE = "persistence"
FIRM_SIGHTS = 3
"""Sights that make a track sure. Before, it ends after three frames without one, and its label is that of the frame where that has one:
where frames do not follow each other (a folder of single images), chance makes tracks of one or two sights."""
_AT_ONCE = Persistence()
_LEAST_UNSEEN = 3
_SIGHTS_OF_ANOTHER_CLOCK = 500
_MOST_BITS = (1 << 64) - 1
_FLOATS = ("score", "x_min_px", "y_min_px", "x_max_px", "y_max_px", "centroid_x_px", "centroid_y_px", "area_px")
_floats = attrgetter(*_FLOATS)
_OF_LABELS = frozenset({SHOWN_LABELS, HIDDEN_LABELS})  # of the label in one frame: the track's own label decides
_WEAK = frozenset({None, "min_score", CLUTTER, *_OF_LABELS})  # detections with these in `suppressed_by` may be sights


class Change(StrEnum):
    """Kinds of events."""

    APPEARED = "target.appeared"
    UPDATED = "target.updated"
    LEFT = "target.left"


@dataclass(frozen=True, slots=True)
class TargetEvent:
    """A target has appeared, is still there, or has left.

    Attributes:
        change: which of these.
        position: the frame with which it became known; of a target that left with its whole sensor, the offset that ended its track.
        track: as its last sight left it.
    """

    change: Change
    position: KafkaPosition
    track: Track


class SensorFilters(Protocol):
    """Filters of a sensor, as far as tracks need them."""

    @property
    def persistence(self) -> Persistence:
        """Number of frames a target must be seen in before it is shown."""
        ...

    def of_label(self, label: str) -> str | None:
        """The filter that suppresses targets of this label; None: none does."""
        ...


class PartitionTracks:
    """Tracks of the sensors whose frames are in one partition. Not thread-safe."""

    def __init__(
        self,
        partition: TopicPartition,
        settings: TrackSettings,
        label_min_score: float,
        filters: Callable[[str], SensorFilters] | None = None,
    ) -> None:
        """Begin without any.

        Args:
            partition: whose frames.
            settings: when tracks begin and end.
            label_min_score: mean class score below which a target is labelled just `target`.
            filters: of a sensor; None: what suppresses a sight stays as it is, and targets are shown at once.
        """
        self._partition = partition
        self._settings = settings
        self._label_min_score = label_min_score
        self._filters = filters
        self._own_gaps = self._gaps = (settings.max_gap_s, settings.max_gap_frames, settings.look_back)
        self._by_sensor: dict[str, dict[str, Track]] = {}
        self._by_sight: OrderedDict[str, Track] = OrderedDict()  # the longest unseen first

    def __len__(self) -> int:
        """Number of tracks that go on."""
        return len(self._by_sight)

    def tracks(self) -> list[Track]:
        """Tracks that go on, the longest unseen first."""
        return list(self._by_sight.values())

    def advance(self, result: FrameResult) -> tuple[FrameResult, list[TargetEvent]]:
        """Take the next frame of the partition.

        Returns:
            The frame with tracks and their labels, and what is to be reported.
        """
        self._gaps = self._own_gaps
        offset, sensor_id, captured_at = result.position.offset, result.sensor_id, result.captured_at
        events = self.passed(offset)
        events += [TargetEvent(Change.LEFT, result.position, track) for track in self._aged(sensor_id, captured_at)]
        if not result.detections:
            return result, _reported(events)
        found = list(result.detections)
        tracks = sorted(self._by_sensor.get(sensor_id, {}).values(), key=lambda track: track.first)
        sure = [index for index, each in enumerate(found) if self._is_sure(each)]
        first = set(sure)
        unsure = [index for index, each in enumerate(found) if index not in first and each.suppressed_by in _WEAK and usable(each)]
        assigned = assign(tracks, found, sure, unsure)
        begun = beginners(found, sure, list(assigned))
        for index in sorted([*assigned, *begun]):
            track, change = self._seen(found[index], assigned.get(index), result, index)
            self._keep(track)
            found[index] = track.last
            if change is not None:
                events.append(TargetEvent(change, result.position, track))
        return replace(result, detections=tuple(found)), _reported(events)

    def passed(self, offset: int) -> list[TargetEvent]:
        """The log has come so far, with or without rows: targets of sensors that have fallen silent have left."""
        events, look_back = [], self._gaps[2]
        while self._by_sight and offset - (track := next(iter(self._by_sight.values()))).last_offset > look_back:
            self._forget(track)
            ended_at = KafkaPosition(self._partition.topic, self._partition.partition, track.last_offset + look_back + 1)
            events.append(TargetEvent(Change.LEFT, ended_at, track))
        return _reported(events)

    def replay(self, sensor_id: str, captured_at: datetime, offset: int, detections: Sequence[Detection]) -> None:
        """Take a frame as its row has it; after the last row, and `passed`, everything stands as `advance` left it.

        Tracks end as they ended then, by the settings that stand in the rows: what ends by those of now is still to be reported.
        """
        self.passed(offset)
        tracks = [track for each in detections if (track := Track.of_row(each, sensor_id, captured_at, offset)) is not None]
        self._gaps = next((track.memory.gaps for track in tracks if not track.is_lost), self._gaps)
        self._aged(sensor_id, captured_at, replayed=True)
        for track in tracks:
            self._keep(track)

    def _is_sure(self, detection: Detection) -> bool:
        may_begin = detection.suppressed_by is None or detection.suppressed_by in _OF_LABELS
        return may_begin and detection.score >= self._settings.start_score and usable(detection)

    def _aged(self, sensor_id: str, captured_at: datetime, *, replayed: bool = False) -> list[Track]:
        """One more frame of a sensor: its tracks that have ended, in the order of their last sights."""
        tracks = list(self._by_sensor.get(sensor_id, {}).values())
        for track in tracks:
            track.steps += 1
        ended = sorted(
            (track for track in tracks if (track.is_lost and not replayed) or self._has_left(track, captured_at)),
            key=lambda track: (track.last_offset, track.first),
        )
        for track in ended:
            self._forget(track)
        return ended

    def _has_left(self, track: Track, captured_at: datetime) -> bool:
        if track.memory.num_seen < FIRM_SIGHTS and not track.is_lost and track.unseen >= _LEAST_UNSEEN:
            return True
        unseen_s = abs((captured_at - track.last_seen_at).total_seconds())
        max_gap_s, max_gap_frames, _ = self._gaps
        return track.unseen > max_gap_frames or (track.unseen >= _LEAST_UNSEEN and unseen_s > max_gap_s)

    def _keep(self, track: Track) -> None:
        """A track as its last sight left it takes the place of what it was before."""
        self._by_sensor.setdefault(track.sensor_id, {})[track.track_id] = track
        self._by_sight[track.track_id] = track
        self._by_sight.move_to_end(track.track_id)

    def _forget(self, track: Track) -> None:
        del self._by_sight[track.track_id]
        tracks = self._by_sensor[track.sensor_id]
        del tracks[track.track_id]
        if not tracks:
            del self._by_sensor[track.sensor_id]

    def _seen(self, detection: Detection, before: Track | None, result: FrameResult, index: int) -> tuple[Track, Change | None]:
        """The track after a sight, whose detection is all that its row will say, and the event it makes."""
        detection, suppressed_by = _as_in_a_row(detection), detection.suppressed_by
        memory = self._begun(detection, result) if before is None else self._continued(detection, before, result)
        label, label_score = detection.label, detection.label_score
        if before is not None and (memory.num_seen >= FIRM_SIGHTS or label == UNNAMED):
            label, label_score = elected(memory.class_means, before.last.label, self._label_min_score)
        filters = None if self._filters is None else self._filters(result.sensor_id)
        memory = _confirmed(memory, _AT_ONCE if filters is None else filters.persistence)
        if filters is not None and (suppressed_by is None or suppressed_by in _OF_LABELS):
            suppressed_by = filters.of_label(label)
        if suppressed_by is None and not memory.confirmed:
            suppressed_by = PERSISTENCE
        memory, change = (memory, None) if suppressed_by is not None else self._report(memory, result.captured_at)
        track_id, first = (
            (track_id_of(result.position, index), (result.position.offset, index)) if before is None else (before.track_id, before.first)
        )
        last = changed(
            detection,
            suppressed_by=suppressed_by,
            label=label,
            label_score=_rounded(label_score),
            track_id=track_id,
            track_age_s=_rounded(max(0.0, (result.captured_at - memory.first_seen_at).total_seconds())),
            speed_px_s=_rounded(memory.speed.per_second),
            speed_m_s=_rounded(memory.ground.per_second),
            track_state=memory.text(),
        )
        return Track(track_id, first, result.sensor_id, memory, last, result.captured_at, result.position.offset), change

    def _begun(self, detection: Detection, result: FrameResult) -> Memory:
        return Memory(
            first_seen_at=result.captured_at,
            num_seen=1,
            seen_bits=1,
            confirmed=False,
            motion=Motion.begun(detection.centroid_x_px, detection.centroid_y_px, size_px(detection)),
            speed=Speed(),
            ground=Speed(),
            class_means=counted({}, detection.class_scores, 1),
            best=_best(detection, result),
            reported_at=None,
            reported_seen=0,
            gaps=self._own_gaps,
        )

    def _continued(self, detection: Detection, before: Track, result: FrameResult) -> Memory:
        memory, last = before.memory, before.last
        x_px, y_px = detection.centroid_x_px, detection.centroid_y_px
        elapsed_s = (result.captured_at - before.last_seen_at).total_seconds()
        ground = memory.ground
        if None not in (here := (detection.latitude, detection.longitude, last.latitude, last.longitude)):
            ground = ground.moved(*metres_between(*here), elapsed_s)  # type: ignore[arg-type]
        best = _best(detection, result)
        return Memory(
            first_seen_at=memory.first_seen_at,
            num_seen=memory.num_seen + 1,
            seen_bits=(memory.seen_bits << before.steps | 1) & _MOST_BITS,
            confirmed=memory.confirmed,
            motion=before.predicted().seen(x_px, y_px, size_px(detection)),
            speed=memory.speed.moved(x_px - last.centroid_x_px, y_px - last.centroid_y_px, elapsed_s),
            ground=ground,
            class_means=counted(memory.class_means, detection.class_scores, memory.num_seen + 1),
            best=best if best.score > memory.best.score else memory.best,
            reported_at=memory.reported_at,
            reported_seen=memory.reported_seen,
            gaps=self._own_gaps,
        )

    def _report(self, memory: Memory, captured_at: datetime) -> tuple[Memory, Change | None]:
        """The memory after a sight that is shown, and the event it makes."""
        if memory.reported_at is None:
            return replace(memory, reported_at=captured_at, reported_seen=memory.num_seen), Change.APPEARED
        elapsed_s = (captured_at - memory.reported_at).total_seconds()
        # Frames of two clocks may share a sensor id: the one that is ahead counts. One that was set back counts again after a while.
        was_set_back = elapsed_s <= -self._settings.update_s and memory.num_seen - memory.reported_seen >= _SIGHTS_OF_ANOTHER_CLOCK
        if elapsed_s >= self._settings.update_s or was_set_back:
            return replace(memory, reported_at=captured_at, reported_seen=memory.num_seen), Change.UPDATED
        return memory, None


def needed_from(next_offset: int, settings: TrackSettings) -> int:
    """First offset whose row `replay` needs where the table stands at `next_offset`."""
    return max(0, next_offset - 1 - settings.look_back)


def _confirmed(memory: Memory, needed: Persistence) -> Memory:
    """With the mark that it was seen often enough, which it keeps."""
    often = memory.confirmed or (memory.seen_bits & ((1 << needed.of) - 1)).bit_count() >= needed.seen
    return memory if often == memory.confirmed else replace(memory, confirmed=True)


def _reported(events: list[TargetEvent]) -> list[TargetEvent]:
    """Without targets that leave unreported."""
    return [event for event in events if event.track.memory.reported_at is not None]


def _best(detection: Detection, result: FrameResult) -> Best:
    return Best(detection.score, result.position.offset, result.captured_at, box_px(detection))


def _as_in_a_row(detection: Detection) -> Detection:
    """With numbers as the table keeps them: what a restart reads there must be what was reckoned with."""
    values = _floats(detection)
    if values == (rounded := as_float32(*values)):
        return detection
    return changed(detection, **dict(zip(_FLOATS, rounded, strict=True)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else as_float32(value)[0]
