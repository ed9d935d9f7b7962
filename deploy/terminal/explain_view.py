"""All that is known of one frame, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from contracts.result import DeadLetter, Detection, FrameResult, Gap
from deploy.terminal.consoles import table_console

if TYPE_CHECKING:
    from contracts.frame import RawRecord
    from pipeline.ops.explain import Explanation

Lines = Iterator[tuple[str, str]]


def explanation_json(found: Explanation) -> dict[str, Any]:
    """One object for programs."""
    message = found.message
    return {
        "position": str(found.position),
        "run_id": found.run_id,
        "standing": found.standing.name.lower(),
        "watermark": found.watermark,
        "row": None if found.outcome is None else {"kind": type(found.outcome).__name__, **asdict(found.outcome)},
        "file": None if found.file is None else asdict(found.file),
        "commit": None if found.commit is None else asdict(found.commit),
        "message": None
        if message is None
        else {"key": _text(message.key), "bytes": len(message.value or b""), "timestamp_ms": message.timestamp_ms}
        | {"headers": [[name, _text(value)] for name, value in message.headers]},
    }


def print_explanation(found: Explanation) -> None:
    """On stdout: a line a fact, folded to the width of the terminal."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in explanation_lines(found):
        table.add_row(name, Text(text))  # what cameras wrote is no markup
    table_console().print(table)


def explanation_lines(found: Explanation) -> Lines:
    """All of it for people: name and text of each line; names of indented lines begin with spaces."""
    yield "position", f"{found.position}, run {found.run_id}"
    next_offset = "nothing of this partition" if found.watermark is None else f"everything before offset {found.watermark:,}"
    yield "standing", f"{found.standing.value} (the table has {next_offset})"
    yield from _message_lines(found.message)
    outcome = found.outcome
    if isinstance(outcome, FrameResult):
        yield from _result_lines(outcome)
    elif isinstance(outcome, DeadLetter):
        yield "rejected", f"{outcome.reason.value}: {outcome.detail}"
    elif isinstance(outcome, Gap):
        yield "gap", f"offsets {outcome.position.offset:,} to {outcome.stop - 1:,}: {outcome.detail}"
    if outcome is not None:
        yield "finished", outcome.finished_at.isoformat()
    if found.commit is not None:
        yield "visible since", f"version {found.commit.version} of the table, {found.commit.committed_at.isoformat()}"
    if found.file is not None:
        doubled = f"; {found.file.num_rows} rows for this position, run `irstream audit`" if found.file.num_rows > 1 else ""
        yield "file", found.file.path + doubled


def _message_lines(message: RawRecord | None) -> Lines:
    if message is None:
        yield "message", "nothing there in Kafka (any more)"
        return
    size = "no value" if message.value is None else f"{len(message.value):,} bytes"
    yield "message", f"key {_text(message.key)!r}, {size}"
    for name, value in message.headers:
        yield f"  {name}", _text(value) or ""


def _result_lines(result: FrameResult) -> Lines:
    number = "" if result.frame_number is None else f", number {result.frame_number}"
    yield "frame", f"{result.frame_id} of {result.sensor_id}{number}"
    yield "", f"{result.width_px} x {result.height_px}, {result.bit_depth} bit, {result.platform.value}, {result.band.value}"
    yield "captured", f"{result.captured_at.isoformat()}, in Kafka {result.ingested_at.isoformat()}"
    stages = {name: ms for name, ms in asdict(result.stage_ms).items() if ms}
    yield "stages", ", ".join(f"{name} {ms:.1f} ms" for name, ms in stages.items())
    for batch in result.batch:
        yield f"batch {batch.task}", f"{batch.size}, closed because {batch.closed_by}"
    for model in result.models:
        yield f"model {model.task}", f"{model.name}, sha256 {model.digest}"
    yield "preprocessing", f"version {result.preprocess_version}"
    beside = len(result.detections) - len(result.sure)
    yield "detections", f"{len(result.sure)}{f', and {beside} weak or double (--json lists them)' if beside else ''}"
    for index, each in enumerate(result.sure):
        box = f"x {each.x_min_px:.1f}..{each.x_max_px:.1f}, y {each.y_min_px:.1f}..{each.y_max_px:.1f}"
        yield (
            f"  {index}",
            f"{each.words}, {box}, {each.area_px:.0f} px, found by {' and '.join(each.found_by)}{_track(each)}{_suppressed(each)}",
        )


def _track(detection: Detection) -> str:
    if detection.track_id is None:
        return ""
    speeds = ((detection.speed_px_s, "px/s"), (detection.speed_m_s, "m/s"))
    known = "".join(f", {speed:.1f} {unit}" for speed, unit in speeds if speed is not None)
    return f", track {detection.track_id} for {detection.track_age_s or 0.0:.1f} s{known}"


def _suppressed(detection: Detection) -> str:
    return "" if detection.suppressed_by is None else f", no alert: filter {detection.suppressed_by}"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
