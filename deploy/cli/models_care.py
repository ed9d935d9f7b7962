"""`irstream models export|average|ship|measure|calibrate`: from runs to weights that ship, and their figures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.errors import named_as_options
from deploy.cli.options import JsonOption, print_json
from deploy.cli.train_options import DeviceOption

if TYPE_CHECKING:
    from models.card import Measurement

SETTINGS = {"folder": "--out", "images to measure on": "--role", "weights to begin with": "--start"}
NameArgument = Annotated[str, typer.Argument(help="Registered name, see `irstream models list`.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Safetensors file with its card; default: those that ship.", show_default=False)
]


def export(
    name: NameArgument,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Default runs/train/NAME/checkpoint.pt.", show_default=False)
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File to write; default beside the checkpoint.", show_default=False)
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="Whose images choose the threshold and measure.")] = "ours",
    data: Annotated[list[str] | None, typer.Option("--data", help="Other data sets (several times).", show_default=False)] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Write weights and card of a checkpoint, also of a training that was stopped; `irstream train` does it at its end.

    Of a filter, which needs no checkpoint: its threshold is chosen, and its figures are measured.
    """
    from models.devices import choose_device
    from models.zoo import list_learning, task_named
    from training.recipes import plan_named
    from training.registry.export import FILTER, Provenance
    from training.registry.export import export as export_one
    from training.tasks.base import with_data

    file = checkpoint or Path("runs/train") / name / "checkpoint.pt"
    with named_as_options({"folder": "--checkpoint"}):
        plan = plan_named(recipe, data or (), task=task_named(name))
        learns = name in list_learning()
        made = f"train {name} --recipe {recipe}" if learns else f"models export {name}"
        command = f"irstream {made}{with_data(data or ())}"
        provenance = Provenance(command, plan.source if learns else FILTER, plan.recipe)
        card = export_one(name, file, weights or file.with_name("weights.safetensors"), provenance, device=str(choose_device(device)))
    _print(card.measured, as_json)


def measure(
    name: NameArgument,
    weights: WeightsOption = None,
    role: Annotated[str, typer.Option("--role", help="test, select or train: the images to measure on.")] = "test",
    data: Annotated[
        list[str] | None, typer.Option("--data", help="Data sets (several times); default: the recipe's.", show_default=False)
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Replace the figures of the card.")] = False,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure a network of any task on labelled images; `irstream evaluate` says more of a segmenter."""
    from contracts.choices import chosen
    from models.devices import choose_device
    from training.data.samples import Role
    from training.registry.measure import measure_weights

    with named_as_options(SETTINGS):
        images = chosen({each.value: each for each in Role}, role, "--role")
        on = str(choose_device(device))
        _print(measure_weights(name, weights, images, data or (), write=write, device=on), as_json)


def calibrate(
    name: NameArgument,
    weights: WeightsOption = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="Data sets (several times); default: all that have masks.", show_default=False)
    ] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Choose anew what a segmenter's scores mean, on held-out images, and write it into its card."""
    from models.devices import choose_device
    from training.registry.calibrate import calibrate_scores

    with named_as_options(SETTINGS):
        scores = calibrate_scores(name, weights, data, device=str(choose_device(device)))
    if as_json:
        print_json({"slope": scores.slope, "offset": scores.offset})
    else:
        typer.echo(f"{name}: score = sigmoid({scores.slope:g} * logit of the surest pixel {scores.offset:+g})")


def average(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs of one network, one begun with the weights of the other.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for weights and card of the mean.")],
    as_json: JsonOption = False,
) -> None:
    """Write the mean of the weights of several trainings, with its card."""
    from training.registry.weight_average import weight_average

    with named_as_options(SETTINGS):
        _print(weight_average(runs, out).measured, as_json)


def ship(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    alone: Annotated[
        str | None, typer.Option("--alone", help="The one data set that these weights know: they ship beside the general ones.")
    ] = None,
) -> None:
    """Make the weights of a run those that ship with the package."""
    from training.registry.ship import ship as ship_one

    for run in runs:
        card = ship_one(run, alone=alone)
        typer.echo(f"{card.name} {card.digest}")


def _print(measured: Iterable[Measurement], as_json: bool) -> None:
    if as_json:
        print_json([{"data": each.data} | each.values for each in measured])
        return
    for each in measured:
        typer.echo(f"{each.data}: " + ", ".join(f"{name} {value:g}" for name, value in each.values.items()))
