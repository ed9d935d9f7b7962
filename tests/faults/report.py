"""The crash matrix as a table and a picture: `python -m tests.faults.report runs/faults [page.md]`."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.faults.faults import MATRIX
from tests.faults.takeovers import SERVED, TAKEOVERS

COLUMNS = ("fault", "frames", "lost", "doubled", "lasted, s", "recovered after, s", "longest stall, s", "drivers started again")
LATENCIES = ("p50 / p99 before, s", "during", "after")
BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"


def read(folder: Path) -> list[dict[str, Any]]:
    """Rows in the order of the matrix."""
    rows = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    order = [each.name for each in (*MATRIX, *SERVED, *TAKEOVERS)]
    return sorted(rows, key=lambda row: order.index(row["fault"]))


def latency(value: dict[str, float | None]) -> str:
    """p50 / p99."""
    return " / ".join("-" if each is None else f"{each:.1f}" for each in (value["p50_s"], value["p99_s"]))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    titles = (*COLUMNS, *LATENCIES)
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows:
        numbers = [row[name] for name in ("frames", "lost", "doubled", "fault_s", "recover_s", "stall_s", "starts")]
        cells = [row["fault"], *map(str, numbers), *(latency(row[name]) for name in ("before", "during", "after"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Latency of every frame around each fault; the fault itself is red, the recovery amber."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    columns = 4
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4 * columns, 2.2 * lines), layout="constrained", squeeze=False)
    for place in axes.flat[len(rows) :]:
        place.set_axis_off()
    for place, row in zip(axes.flat, rows, strict=False):
        place.axvspan(0, max(0.3, row["fault_s"]), color="tab:red", alpha=0.25, lw=0)
        place.axvspan(row["fault_s"], row["fault_s"] + row["recover_s"], color="tab:orange", alpha=0.2, lw=0)
        place.plot([at for at, _ in row["series"]], [value for _, value in row["series"]], ".", ms=2)
        place.set_title(textwrap.fill(row["fault"], 60), fontsize=8)
        place.set_ylim(0, None)
        place.tick_params(labelsize=7)
    figure.supxlabel("when a frame was published: seconds since the fault began (red: the fault, amber: until all was well)")
    figure.supylabel("seconds from message time to visible row")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print the table, draw the picture, and fill in a page where one is given."""
    folder = Path(sys.argv[1])
    rows = read(folder)
    text = table(rows)
    print(text)
    plot(rows, folder / "faults.png")
    if len(sys.argv) > 2:
        page = Path(sys.argv[2])
        before, rest = page.read_text().split(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
