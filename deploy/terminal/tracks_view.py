"""Quality of tracks, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deploy.terminal.consoles import SafeConsole, answer_console

if TYPE_CHECKING:
    from evaluation.tracks import TrackScores

_WIDTH = 100
_NOTE = "By places: centres closer than half the longer side of the true box are one target (HOTA is a mean over such limits)."


def tracks_json(clips: Mapping[str, TrackScores], whole: TrackScores, boxes: TrackScores) -> dict[str, Any]:
    """All figures: of each clip and of all together by places, and of all together by the overlap of boxes."""
    return {"clips": {name: asdict(each) for name, each in clips.items()}, "all": asdict(whole), "all_by_overlap": asdict(boxes)}


def print_tracks(clips: Mapping[str, TrackScores], whole: TrackScores, boxes: TrackScores) -> None:
    """On stdout: a line for each clip, one for all together, and what it would be by the overlap of boxes."""
    console = SafeConsole(soft_wrap=True, markup=False, highlight=False, width=max(answer_console().width, _WIDTH))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("clip")
    for name in ("frames", "targets", "tracks", "HOTA", "detection", "association", "IDF1", "switches", "label changes"):
        table.add_column(name, justify="right")
    for name, each in clips.items():
        table.add_row(name, *_cells(each))
    table.add_row("all", *_cells(whole), style="bold")
    console.print(table)
    console.print(_NOTE)
    console.print(
        f"By overlap of boxes, all clips: HOTA {boxes.hota:.3f}, overlap of matches {boxes.localisation:.2f}, IDF1 {boxes.idf1:.3f}."
    )


def _cells(scores: TrackScores) -> list[str]:
    parts = (scores.hota, scores.detection, scores.association, scores.idf1)
    counts = (scores.frames, scores.targets, scores.tracks)
    return [*map(str, counts), *(f"{part:.3f}" for part in parts), str(scores.switches), str(scores.label_changes)]
