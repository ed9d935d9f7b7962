"""`irstream dataset synthetic`: labelled frames of the synthetic cameras, for trainings and measurements."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import JsonOption, print_json

app = typer.Typer(
    help="Labelled data sets: write the synthetic one.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def dataset() -> None:
    """Labelled data sets."""


@app.command()
def synthetic(
    folder: Annotated[Path, typer.Argument(help="Folder to write; `irstream train` looks for it in runs/synthetic.")],
    as_json: JsonOption = False,
) -> None:
    """Write 850 frames of 170 synthetic cameras with masks, boxes, classes and an index; about a minute."""
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on
    from synthetic.dataset import plans, write_dataset

    with show_on(note_console(), "cameras") as show:
        frames = write_dataset(folder, list(plans()), report=partial(show, "synthetic data set"))
    if as_json:
        print_json({"folder": str(folder), "frames": frames})
    else:
        print(f"{frames} frames in {folder}")
