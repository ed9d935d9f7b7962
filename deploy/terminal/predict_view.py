"""Summary of `irstream predict` on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from contracts.text import counted
from deploy.terminal.words import listed

if TYPE_CHECKING:
    from pipeline.predict import PredictCounts

_SHOWN_PROBLEMS = 5


def print_prediction(counts: PredictCounts, files: Mapping[str, str], seconds: float, left_out: Sequence[str]) -> None:
    """Numbers, places of the files, and what could not be used and why.

    Args:
        counts: of the input.
        files: what was written and where.
        seconds: of the whole, loading included.
        left_out: sentences on what was no input.
    """
    console = Console(soft_wrap=True, highlight=False)
    kept = f" ({listed(counts.suppressed)} suppressed)" if counts.suppressed else ""
    found = f"{counted(counts.detections, 'detection')}{kept} in {counted(counts.frames, 'frame')}"
    console.print(f"{found}, {seconds:.1f} s with loading the networks", markup=False)
    for name, place in files.items():
        console.print(f"  {name:8}  {place}", markup=False)
    for name, number in (("rejected", counts.rejected), ("skipped", counts.skipped)):
        if number:
            console.print(f"  {name:8}  {counted(number, 'frame')}", markup=False)
    for problem in counts.problems[:_SHOWN_PROBLEMS]:
        console.print(f"            {problem}", markup=False)
    for sentence in left_out:
        console.print(f"  left out  {sentence}", markup=False)
