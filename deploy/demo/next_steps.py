"""Next steps after the demo, with a query that works as printed."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from deploy.settings.app_settings import variable_of

_QUERY = (
    "import polars as pl; print(pl.read_delta('{table}').explode('detections', 'detection_suppressed_by')"
    ".filter(pl.col('detection_suppressed_by').is_null()).unnest('detections').drop_nulls('label')"
    ".group_by('sensor_id', 'label').agg(pl.len().alias('detections'), pl.col('score').mean().round(2)).sort('sensor_id', 'label'))"
)


def query_command(table: Path) -> str:
    """A command line that counts detections per sensor and label."""
    program, query = _short(sys.executable), _QUERY.format(table=table)
    plain = not set(query) & set('"$`!\\') and " " not in program
    return f'{program} -c "{query}"' if plain else shlex.join([program, "-c", query])


def next_steps(table: Path, contact_sheet: Path | None) -> str:
    """Text: the places of the results and the next commands."""
    beside = Path(sys.executable).with_name("irstream")
    irstream = _short(str(beside)) if beside.exists() else "irstream"
    # The port is named: beside another program there `broker up` alone takes a free one, and the rest would go to that program.
    broker = "" if os.environ.get(variable_of("kafka.bootstrap_servers")) else f"{irstream} broker up --port 9092 && "
    publish = f"{broker}{irstream} publish synthetic --create-topic --limit 100"
    return "\n".join(
        [
            f"picture  {contact_sheet or 'none: no frame got through'}",
            f"table    {table}  (Delta Lake; plain Parquet files inside)",
            f"query    {query_command(table)}",
            f"next     {publish} && {irstream} stream --until-caught-up",
        ]
    )


def _short(path: str) -> str:
    """Relative to the working folder where that is shorter."""
    here = f"{Path.cwd()}/"
    return path.removeprefix(here)
