"""The results table as a public contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.arrow import BESIDE_DETECTIONS, RESULTS_COLUMNS, RESULTS_SCHEMA, Status, outcomes_to_table, table_to_outcomes
from contracts.errors import RejectReason
from contracts.result import BatchInfo, Detection, FrameResult, ModelRef, Outcome, StageTimes
from tests import outcomes as make
from tests.pinned import assert_pinned

# The public columns, written out once more on purpose: other programs read these names and types.
PINNED = """\
run_id: string not null
ingest_date: date32[day] not null
source_topic: string not null
source_partition: int32 not null
source_offset: int64 not null
sensor_id: string
frame_id: string
frame_number: int64
captured_at: timestamp[us, tz=UTC]
ingested_at: timestamp[us, tz=UTC] not null
finished_at: timestamp[us, tz=UTC] not null
width_px: int32
height_px: int32
bit_depth: int32
platform: string not null
band: string not null
headers: map<string, string> not null
status: string not null
source_offset_end: int64
reason: string
detail: string
detections: list<item: struct<label: string, score: float, x_min_px: float, y_min_px: float, x_max_px: float, y_max_px: float, \
centroid_x_px: float, centroid_y_px: float, area_px: float, class_scores: map<string, float>, mask_rle: string, \
found_by: list<item: string>>> not null
models: list<item: struct<task: string, name: string, digest: string>> not null
preprocess_version: string
batch: list<item: struct<task: string, size: int32, closed_by: string>> not null
stage_ms: struct<read: float, decode: float, wait: float, detect: float, segment: float, classify: float, fuse: float>
detection_scr: list<item: float>
sensor_latitude: double
sensor_longitude: double
sensor_altitude_m: double
klv: map<string, string>
detection_latitude: list<item: double>
detection_longitude: list<item: double>
quality: list<item: string>
detection_suppressed_by: list<item: string>
detection_label_score: list<item: float>
detection_track_id: list<item: string>
detection_track_age_s: list<item: float>
detection_speed_px_s: list<item: float>
detection_speed_m_s: list<item: float>
detection_track_state: list<item: string>
weak_left_out: int32"""


def test_schema_is_the_published_one() -> None:
    assert "\n".join(str(field).removeprefix("pyarrow.Field<").removesuffix(">") for field in RESULTS_SCHEMA) == PINNED


@pytest.mark.parametrize(
    ("part", "column"), [(Detection, "detections"), (ModelRef, "models"), (BatchInfo, "batch"), (StageTimes, "stage_ms")], ids=str
)
def test_structs_have_the_fields_of_their_dataclass(part: type, column: str) -> None:
    kind = RESULTS_SCHEMA.field(column).type
    struct = kind.value_type if pa.types.is_list(kind) else kind
    assert [struct.field(index).name for index in range(struct.num_fields)] == [
        field.name for field in fields(part) if field.name not in BESIDE_DETECTIONS
    ]


@pytest.mark.parametrize("name", BESIDE_DETECTIONS)
def test_rows_of_a_version_without_a_column_beside_detections_can_be_read(name: str) -> None:
    table = outcomes_to_table([make.result(7)], "live").drop_columns([f"detection_{name}"])
    (before,) = table_to_outcomes(table)
    assert isinstance(before, FrameResult)
    assert [getattr(detection, name) for detection in before.detections] == [None] * len(make.result(7).detections)


@pytest.mark.slow
@settings(deadline=None)  # the first call imports half of pyarrow
@given(st.lists(make.outcomes, max_size=8))
def test_every_outcome_survives_the_way_to_arrow_and_back(outcomes: list[Outcome]) -> None:
    table = outcomes_to_table(outcomes, "live")
    table.validate(full=True)
    assert table.schema == RESULTS_SCHEMA
    assert table_to_outcomes(table) == outcomes


@pytest.mark.parametrize(
    ("outcome", "filled", "empty"),
    [
        pytest.param(make.result(7), {"status": "ok", "preprocess_version": "1"}, ["reason", "detail", "source_offset_end"], id="ok"),
        pytest.param(
            make.letter(7, sensor_id=None),
            {"status": "rejected", "reason": "corrupt_image", "detections": [], "platform": "unknown"},
            ["sensor_id", "width_px", "stage_ms", "preprocess_version", "source_offset_end", "captured_at"],
            id="rejected",
        ),
        pytest.param(
            make.gap(7, 30),
            {"status": "gap", "source_offset": 7, "source_offset_end": 30, "detections": [], "models": []},
            ["sensor_id", "reason", "frame_id", "stage_ms"],
            id="gap",
        ),
    ],
)
def test_row_of_each_status(outcome: Outcome, filled: dict[str, object], empty: list[str]) -> None:
    (row,) = outcomes_to_table([outcome], "archive-2025").to_pylist()
    assert row | filled | {"run_id": "archive-2025"} == row
    assert all(row[name] is None for name in empty)


def test_ingest_date_is_the_utc_day_of_kafkas_timestamp_or_of_noticing_a_gap() -> None:
    late_in_lima = datetime(2026, 2, 28, 22, tzinfo=timezone(timedelta(hours=-5)))
    frame = make.result(0, ingested_at=late_in_lima)
    lost = replace(make.gap(1, 5), ingested_at=datetime(1999, 1, 1, tzinfo=UTC), finished_at=late_in_lima)
    table = outcomes_to_table([frame, lost], "live")
    assert table.column("ingest_date").to_pylist() == [date(2026, 3, 1)] * 2


def test_text_that_is_no_unicode_is_escaped_and_cannot_stop_the_stream() -> None:
    hostile = replace(make.letter(0), detail="key \udcff", headers={"a\udc80": "b\udc81"})
    (row,) = outcomes_to_table([hostile], "live").to_pylist(maps_as_pydicts="strict")
    assert (row["detail"], row["headers"]) == ("key \\udcff", {"a\\udc80": "b\\udc81"})


def test_unknown_status_is_refused() -> None:
    table = outcomes_to_table([make.gap(0, 1)], "live")
    odd = table.set_column(table.schema.get_field_index("status"), RESULTS_SCHEMA.field("status"), pa.array(["lost"]))
    with pytest.raises(ValueError, match="lost"):
        table_to_outcomes(odd)


def _type_words(kind: pa.DataType) -> str:
    simple: list[tuple[Callable[[pa.DataType], bool], str]] = [
        (pa.types.is_float32, "float32"),
        (pa.types.is_date32, "date"),
        (pa.types.is_timestamp, "timestamp µs UTC"),
    ]
    for matches, words in simple:
        if matches(kind):
            return words
    if pa.types.is_map(kind):
        return f"map<{_type_words(kind.key_type)}, {_type_words(kind.item_type)}>"
    if pa.types.is_list(kind):
        return f"list<{_type_words(kind.value_type)}>"
    return "struct" if pa.types.is_struct(kind) else str(kind)


def _struct_lines(kind: pa.DataType) -> list[str]:
    struct = kind.value_type if pa.types.is_list(kind) else kind
    return [f"| `{struct.field(index).name}` | {_type_words(struct.field(index).type)} |" for index in range(struct.num_fields)]


def test_the_document_says_what_the_code_does() -> None:
    lines = [DOCUMENT_HEAD, "| column | type | null | meaning |", "|---|---|---|---|"]
    lines += [f"| `{c.name}` | {_type_words(c.type)} | {'never' if c.required else 'possible'} | {c.meaning} |" for c in RESULTS_COLUMNS]
    for name in ("detections", "models", "batch", "stage_ms"):
        lines += [
            "",
            f"### `{name}`",
            "",
            STRUCT_NOTES[name],
            "",
            "| field | type |",
            "|---|---|",
            *_struct_lines(RESULTS_SCHEMA.field(name).type),
        ]
    lines += ["", "### `quality`", "", STRUCT_NOTES["quality"]]
    lines += ["", "## Rejections", "", "Values of `reason`:", "", *(f"- `{reason.value}`" for reason in RejectReason)]
    lines += ["", f"Values of `status`: {', '.join(f'`{status.value}`' for status in Status)}.", ""]
    assert_pinned("results-table.md", "\n".join(lines))


DOCUMENT_HEAD = """\
# The results table

One row per consumed position (topic, partition, offset): a result, a rejection, or a gap. Exactly once: the Delta
commit that makes rows visible also moves the offsets. Delta Lake (reader version 1), data in Parquet with zstd,
partitioned by `run_id` and `ingest_date`. Columns may be added at the end; none is renamed, retyped or removed.
This page is written by `tests/contracts/test_arrow.py`, which fails when it and the code differ.

## Reading it

```python
import duckdb, polars
from deltalake import DeltaTable

results = DeltaTable("runs/results").to_pyarrow_dataset()
duckdb.sql("select sensor_id, count(*) from results where run_id = 'live' group by all")
polars.scan_delta("runs/results").filter(polars.col("status") == "ok").collect()
DeltaTable("runs/results").to_pandas()
```

The tests read it with DuckDB (through the dataset and through `read_parquet` over the file list), Polars, pandas and pyarrow.
DuckDB's `delta_scan` and Spark's `format("delta")` need an extension each; the table uses nothing beyond reader version 1.
Rows of one partition become visible in the order of `source_offset`, and `order by source_partition, source_offset` is the order
of the log; inside one file a partition's rows lie in that order too ([ADR 12](adr/0012-a-merge-of-our-own.md)).
What grows and how to keep it small: [Table care](table-care.md).

## Where a run stands

Every commit carries, per partition, the Delta transaction `<run_id>/<topic>/<partition>`; its version is the next
offset to read: `DeltaTable(...).transaction_version("live/frames/0")`. A second one,
`<run_id>/<topic>/<partition>@<topic_id>`, says which topic of that name the offsets were counted in.
Offsets below it without a row held no record (transaction markers, compaction).

## Columns
"""
STRUCT_NOTES = {
    "detections": "- Boxes and centroids are pixel edges in the sensor's frame: the first pixel spans x in [0, 1).\n"
    "- `mask_rle` is COCO's compressed run-length code over the whole frame, null where no mask belongs to the target:\n"
    "  `pycocotools.mask.decode({'size': [height_px, width_px], 'counts': mask_rle})`.\n"
    "- `score` of what the segmenter alone found: how often regions as sure as this one were targets on held-out images,\n"
    "  some of them changed as other cameras change a frame (the network's card has the map: `score_slope`, `score_offset`).\n"
    "  With both, `1 - (1 - a)(1 - b)`.\n"
    "- `found_by`: `detector`, `segmenter`, or both.\n"
    "- Centroids are centres of light where there is a mask: each pixel weighs as much as it differs from the surroundings.\n"
    "  Without a mask they are the middle of the box.\n"
    "- Column `detection_scr` holds, in the same order, the signal-to-clutter ratio\n"
    "  `|mean of the target - mean of its surroundings| / standard deviation of the surroundings`, null where there is no mask.\n"
    "- Column `detection_suppressed_by` holds, in the same order, the name of the zone, or `outside`, `shown_labels`, `hidden_labels`,\n"
    "  `clutter`, `min_size_px`, `max_size_px`, `min_score` or `persistence`: the [filter](filters.md) that was the first to\n"
    "  keep it out of alerts.\n"
    "  `weak` stands for what the detector found below the score from which its card calls it a detection, `double` for another\n"
    "  box round or within a target that has one ([least scores](alerts.md#least-scores)). They come last, have no class, and are\n"
    "  no targets: `where name is null or name not in ('weak', 'double')` leaves them out. Before, no row had them.\n"
    "  The row keeps all of it. Null stands for a detection that is shown; the whole column is null in rows of earlier versions.\n"
    "- `score` says how sure it is that there is a target, `detection_label_score` how sure its class is. Of a detection in a\n"
    "  [track](tracks.md) label and `detection_label_score` are votes of all sights of the track so far.",
    "quality": "- `hot_pixels`: hot or dead pixels, far beyond the scene; they were filled.\n"
    "- `telemetry`: rows at an edge that hold numbers; they were filled.\n"
    "- `wrapped`: the picture begins in its middle. Of 3,990 frames of seven real data sets it names 15, those that are damaged,\n"
    "  and of 240 others that were turned by a third of their width 205.\n"
    "- `saturated`: a hundredth of the pixels has the largest count of a sensor of 8 to 16 bits.\n"
    "- `flat`: no scene.\n"
    "- `frozen`: the sensor's last picture again, though its number (`ir_frame`) or time (`ce_time`) moved on,\n"
    "  as far as the process that reads the partition saw it.\n\n"
    "The frame is inferred all the same; the setting `preprocess.reject_quality` rejects by these words.",
    "models": "`task` is `detection`, `segmentation` or `classification`.",
    "batch": "`closed_by`: `full`, `waited`, `drained` or `deadline`.",
    "stage_ms": "`wait` is all queueing between the stages.",
}
