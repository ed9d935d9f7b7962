"""`irstream dataset`: labelled data sets, made, imported, looked at and checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.dataset_findings import findings
from deploy.cli.errors import named_as_options
from deploy.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    RunIdOption,
    TableOption,
    load,
    print_json,
    require_writable,
    write_result,
)

if TYPE_CHECKING:
    import re

    from training.data.importing import ImportReport
    from training.data.reading import Defaults

app = typer.Typer(
    help="Labelled data sets: import, check, show; write the synthetic one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_FORMATS = "sirst, nudt, irstd, hituav, droneir, index, coco, voc, yolo, wideirstd, masks or folders"
FoldersArgument = Annotated[list[Path], typer.Argument(help="Data sets in Parquet (irstream dataset import).", show_default=False)]
NearOption = Annotated[
    float, typer.Option("--near", min=0.5, max=1.0, help="Correlation of two small pictures from which on frames are nearly the same.")
]

MaxRefusedOption = Annotated[
    float, typer.Option("--max-refused", min=0, max=1, help="Share of the images that may be refused before the exit code is 1.")
]


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


@app.command("import")
def import_(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help=f"{_FORMATS} (docs/datasets.md).")],
    path: Annotated[Path, typer.Argument(help="Folder or file of the data set as it came.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; the same command goes on in it after a kill.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the set; default: the known one, or the folder's.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Licence as stated; default: that of a known set.")] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="PATTERN", help="Regular expression on image names: its first group names the sequence or scene."),
    ] = None,
    platform: Annotated[str | None, typer.Option("--platform", help="Of the camera, where the set is silent.")] = None,
    band: Annotated[str | None, typer.Option("--band", help="Of the camera, where the set is silent.")] = None,
    bit_depth: Annotated[int | None, typer.Option("--bit-depth", help="Significant bits, where the set is silent.")] = None,
    unseen: Annotated[
        list[str] | None,
        typer.Option("--unseen", metavar="SPLIT", help="Official split that no training may see (several times).", show_default=False),
    ] = None,
    max_refused: MaxRefusedOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Import a labelled data set into Parquet: frames as they came, masks, boxes, classes, groups, splits.

    What cannot be used is left out and reported by reason; `refused.jsonl` in the folder names every image. The exit code is 1 when
    images were refused (more than --max-refused allows), or none could be used.
    """
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on
    from training.data.importing import import_set

    defaults = _defaults(format_name, path, name, licence, group, (platform, band), bit_depth)
    defaults = replace(defaults, unseen=tuple(unseen or ()))
    with show_on(note_console(), "images") as show:
        found = import_set(format_name, path, out, defaults, report=partial(show, defaults.dataset))
    _told(found, out, max_refused, as_json)


def _told(found: ImportReport, out: Path, max_refused: float, as_json: bool) -> None:
    """Print what came of a data set; exit code 1 where too much was refused."""
    refused = sum(found.refused.values())
    share = refused / max(1, refused + found.frames)
    complete = found.frames > 0 and share <= max_refused
    if as_json:
        answer = {
            "folder": str(out),
            "dataset": found.dataset,
            "frames": found.frames,
            "new": found.new,
            "unseen_by_scene": found.unseen_by_scene,
            "complete": complete,
            "content_hash": found.content_hash,
        }
        print_json(answer | {"refused": dict(found.refused)})
    else:
        typer.echo(f"{found.frames} frames of {found.dataset} in {out}, {found.new} of them new, {refused} refused")
        if found.unseen_by_scene:
            typer.echo(f"  {found.unseen_by_scene} of other splits show scenes that no training may see: unseen, too")
        for reason, number in found.refused.most_common():
            typer.echo(f"  {reason}: {number}, first {found.examples[reason]}")
    if not complete:
        said = (
            f"{share:.1%} of the images were refused, {max_refused:.1%} may be (--max-refused)"
            if found.frames
            else "no image could be used"
        )
        typer.echo(f"{said}; {out / 'refused.jsonl'} names them", err=True)
        raise typer.Exit(1)


@app.command("from-results")
def from_results(
    out: Annotated[Path, typer.Option("--out", help="Folder to write; the same command goes on in it after a kill.")],
    accept: Annotated[float, typer.Option("--accept", min=0, max=1, help="A detection that scores so much is a target.")] = 0.9,
    doubt: Annotated[
        float, typer.Option("--doubt", min=0, max=1, help="One that scores so much is a region nobody labelled; less is background.")
    ] = 0.3,
    corrections: Annotated[
        Path | None,
        typer.Option("--corrections", help="CSV: position, detection, verdict (accept, reject, relabel), label.", show_default=False),
    ] = None,
    sensor: Annotated[list[str] | None, typer.Option("--sensor", help="Only of this sensor (several times).", show_default=False)] = None,
    since: Annotated[datetime | None, typer.Option("--since", help="First moment of capture, UTC.", show_default=False)] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="End, exclusive, UTC.", show_default=False)] = None,
    empty: Annotated[int, typer.Option("--empty", min=0, help="Frames in which nothing was found, as background; at most so many.")] = 0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Frames in all, spread over the rows.", show_default=False)] = None,
    scene_s: Annotated[float, typer.Option("--scene-s", min=1, help="Frames of a sensor within so many seconds are one scene.")] = 600.0,
    name: Annotated[str | None, typer.Option("--name", help="Name of the set; default: the folder's.", show_default=False)] = None,
    licence: Annotated[str, typer.Option("--licence", help="Licence as stated.")] = "not stated",
    max_refused: MaxRefusedOption = 0.0,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data set from the results table: frames fetched again from Kafka, labelled by sure detections and by what people said.

    To train on, or to be drawn over: `irstream dataset export` writes COCO for annotation tools, `import coco` reads it back.
    """
    from datetime import UTC

    from deploy.labelling import SetRequest, set_from_results
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on
    from pipeline.ops.refetch import RowChoice
    from training.data.pseudo_labels import LabelRule, read_verdicts

    settings = load(config, bootstrap_servers=bootstrap_servers, table=table, run_id=run_id).settings
    with named_as_options({"doubt": "--doubt", "accept": "--accept"}):
        rule = LabelRule(accept, doubt)
    first, last = (None if each is None else each.replace(tzinfo=each.tzinfo or UTC) for each in (since, until))
    request = SetRequest(
        name=name or out.resolve().name,
        licence=licence,
        choice=RowChoice(sensors=tuple(sensor or ()), since=first, until=last),
        rule=rule,
        verdicts={} if corrections is None else read_verdicts(corrections),
        empty=empty,
        limit=limit,
        scene_s=scene_s,
    )
    with show_on(note_console(), "frames") as show:
        found = set_from_results(settings, out, request, partial(show, request.name))
    _told(found, out, max_refused, as_json)


app.command("findings")(findings)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Data set in Parquet.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write: images and annotations.json.")],
    as_json: JsonOption = False,
) -> None:
    """Write a data set as COCO, for annotation tools such as CVAT and FiftyOne; `irstream dataset import coco` reads it back."""
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on
    from training.data.coco_export import ANNOTATIONS, export_coco

    with show_on(note_console(), "images") as show:
        images = export_coco(folder, out, partial(show, "exporting"))
    if as_json:
        print_json({"folder": str(out), "images": images, "annotations": str(out / ANNOTATIONS)})
    else:
        typer.echo(f"{images} images in {out}, labels in {out / ANNOTATIONS}")


def _defaults(
    format_name: str,
    path: Path,
    name: str | None,
    licence: str | None,
    group: str | None,
    camera: tuple[str | None, str | None],
    bit_depth: int | None,
) -> Defaults:
    from contracts.frame import Band, Platform
    from contracts.words import BAND_WORDS, PLATFORM_WORDS, required_meaning
    from training.data.catalogue import KNOWN
    from training.data.reading import Defaults
    from training.data.sources.formats import format_named

    known = format_named(format_name, path).known
    dataset_name = name or known or path.resolve().stem
    return Defaults(
        dataset=dataset_name,
        licence=licence or (KNOWN[dataset_name].licence if dataset_name in KNOWN else "not stated"),
        platform=Platform.UNKNOWN if camera[0] is None else required_meaning(PLATFORM_WORDS, camera[0], "--platform"),
        band=Band.UNKNOWN if camera[1] is None else required_meaning(BAND_WORDS, camera[1], "--band"),
        bit_depth=_bits(bit_depth),
        group=_pattern(group),
    )


def _bits(bit_depth: int | None) -> int | None:
    from contracts.errors import SettingsError
    from contracts.headers import BIT_DEPTHS

    if bit_depth is not None and bit_depth not in BIT_DEPTHS:
        raise SettingsError(expected="8 to 16, or 32 for float32", got=str(bit_depth), where="--bit-depth", action="Correct it.")
    return bit_depth


def _pattern(group: str | None) -> re.Pattern[str] | None:
    import re

    from contracts.errors import SettingsError

    try:
        return None if group is None else re.compile(group)
    except re.error as error:
        raise SettingsError(expected="a regular expression", got=f"{group!r}: {error}", where="--group", action="Correct it.") from error


@app.command()
def check(
    folders: FoldersArgument,
    classes: Annotated[list[str] | None, typer.Option("--class", help="Class that is known (several times).", show_default=False)] = None,
    folds: Annotated[Path | None, typer.Option("--folds", help="File of folds: leaks between these, not between official splits.")] = None,
    near: NearOption = 0.98,
    as_json: JsonOption = False,
) -> None:
    """Look for leaks between splits or folds, empty masks, boxes outside and unknown classes; exit code 1 when something is wrong."""
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on
    from training.data.parquet_set import require_parquet_set
    from training.data.set_checks import check_sets, summary

    for folder in folders:
        require_parquet_set(folder)
    with show_on(note_console(), "frames") as show:
        findings = check_sets(folders, classes=classes or (), near=near, parts=_parts(folds), report=partial(show, "comparing"))
    serious = sum(finding.serious for finding in findings)
    if as_json:
        print_json({"serious": serious, "findings": [_finding(each) for each in findings]})
    else:
        for kind, (number, examples) in summary(findings).items():
            typer.echo(f"{kind}: {number}")
            for example in examples:
                typer.echo(f"  {example}")
        typer.echo(f"{serious} serious of {len(findings)} findings" if findings else "nothing is wrong")
    if serious:
        raise typer.Exit(1)


def _parts(folds: Path | None) -> dict[str, str] | None:
    """Fold of each image by its name; None: none were named."""
    from training.data.folds import folds_of_file

    return None if folds is None else {name: f"fold {fold}" for name, fold in folds_of_file(folds).test.items()}


def _finding(finding: Any) -> dict[str, Any]:
    return {"kind": finding.kind, "sample_id": finding.sample_id, "detail": finding.detail, "serious": finding.serious}


@app.command()
def stats(
    folder: Annotated[Path, typer.Argument(help="Data set in Parquet.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Page to write; default stats.html in the folder.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show sizes, contrasts, cameras, classes and some frames of a data set on one page."""
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on
    from training.data.parquet_set import require_parquet_set
    from training.report.dataset_page import render_dataset_page, set_statistics

    manifest = require_parquet_set(folder)
    page = html or folder / "stats.html"
    require_writable(page, "--html")
    with show_on(note_console(), "frames") as show:
        statistics, sheet = set_statistics(folder, partial(show, "reading"))
    text = render_dataset_page(str(manifest["dataset"]), manifest, statistics, sheet)
    write_result(page, "--html", lambda: page.write_text(text, encoding="utf-8"))
    if as_json:
        print_json(statistics | {"page": str(page)})
    else:
        typer.echo(f"{statistics['frames']} frames, {statistics['targets']} targets, {statistics['groups']} groups; {page}")
