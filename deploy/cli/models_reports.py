"""`irstream models tables|compare|pictures|augmentation`: pages, tables and pictures of the networks that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tables(
    pages: Annotated[list[Path], typer.Argument(help="Pages with marks `<!-- cards: NAME -->`, such as docs/networks.md.")],
) -> None:
    """Write the tables of pages anew, from the cards of the weights that ship."""
    from training.report.card_tables import fill_tables

    for page in pages:
        page.write_text(fill_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs to add; those trained alike are in one named short or long.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of the networks that are timed.")] = 2,
    rows: Annotated[Path | None, typer.Option("--rows", help="Default docs/segmenters.json.", show_default=False)] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Default docs/img/segmenters.png.", show_default=False)] = None,
) -> None:
    """Add trained segmenters to the comparison, time all of them in turns, and draw it."""
    from training.report.comparison import compare as compare_all

    for cells in compare_all(runs or [], threads, rows, picture):
        typer.echo("  ".join(cells))


def pictures(
    folder: Annotated[Path, typer.Argument(help="Where to write networks-TASK.png.")],
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this one (several times).", show_default=False)] = None,
) -> None:
    """Draw what the networks say on test images whose licence allows showing them."""
    from training.report.pictures import write_pictures

    write_pictures(folder, task or ())


def augmentation(file: Annotated[Path, typer.Argument(help="PNG to write.")]) -> None:
    """Draw what augmentation does, on frames of the synthetic source."""
    from training.report.augmentation_gallery import write_gallery

    write_gallery(file)
