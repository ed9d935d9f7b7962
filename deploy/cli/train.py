"""`irstream train`: train a network on one machine, with live progress, and hand over weights with their card."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from contracts.errors import SettingsError
from deploy.cli.options import JsonOption, print_json
from deploy.cli.train_options import (
    AverageOption,
    BatchSizeOption,
    CheckpointOption,
    CropOption,
    DataOption,
    DeviceOption,
    EarlyStopOption,
    EpochsOption,
    FrozenNormsOption,
    JudgeEveryOption,
    LossOption,
    NetworkArgument,
    OutOption,
    PrecisionOption,
    RateOption,
    RecipeOption,
    ScheduleOption,
    SeedOption,
    StartOption,
    TaskOption,
    WorkersOption,
)

_JUDGE_EVERY_EPOCHS = 5.0

if TYPE_CHECKING:
    from models.card import ModelCard
    from training.recipes import TrainingPlan
    from training.registry.export import Provenance

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def train(
    model: NetworkArgument,
    task: TaskOption = "segmentation",
    data: DataOption = None,
    recipe: RecipeOption = "ours",
    epochs: EpochsOption = None,
    start: StartOption = None,
    loss: LossOption = None,
    schedule: ScheduleOption = None,
    lr: RateOption = None,
    batch_size: BatchSizeOption = None,
    crop_px: CropOption = None,
    average: AverageOption = None,
    frozen_norms: FrozenNormsOption = False,
    seed: SeedOption = None,
    precision: PrecisionOption = "auto",
    early_stop: EarlyStopOption = 0,
    judge_every: JudgeEveryOption = None,
    checkpoint_s: CheckpointOption = 120.0,
    out: OutOption = None,
    device: DeviceOption = "cpu",
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a segmenter and write `weights.safetensors` with its card into the folder of the run.

    Started again with the same folder it goes on where it was killed. With recipes `ours` and `robust` held-out training images choose
    the threshold; the others learn from all of them and keep 0.5, as published.
    """
    from rich.console import Console

    from contracts.choices import chosen
    from deploy.terminal.training_view import export_shown, learn
    from models.devices import choose_device
    from training.loop.prefetch import default_workers
    from training.recipes import plan_named

    device = str(choose_device(device))
    chosen({"segmentation": None}, task, "--task", "The other networks that ship are trained with python -m training.train NAME.")
    named = plan_named(recipe, data or (), epochs)
    plan = _changed(named, loss, schedule, lr, batch_size, crop_px, average, seed)
    plan = _frozen(plan, start) if frozen_norms else plan
    how = named.source + "; changed as the command says" * (plan != named)
    plan = replace(plan, loop=replace(plan.loop, precision=_precision(precision, device), checkpoint_s=checkpoint_s))
    plan = _judged(plan, early_stop, judge_every)
    folder = out or Path("runs/train") / model
    console = Console(stderr=True)
    console.print(
        f"{model}, recipe {recipe}, {plan.epochs:g} epochs, {plan.loop.precision}, {device}; {folder}", soft_wrap=True, markup=False
    )
    report = learn(console, model, plan, folder, device, default_workers(device) if workers is None else workers, _weights(model, start))
    card = export_shown(console, model, folder, _provenance(plan, how, device, _weights(model, start)), device)
    if as_json:
        print_json({"weights": str(folder / "weights.safetensors"), "steps": report.steps, "card": card.model_dump(mode="json")})
        return
    typer.echo(f"{report.steps} steps in {report.elapsed_s:.0f} s{' of processor time' * (device == 'cpu')}, loss {report.last_loss:.4f}")
    if report.best_score is not None:
        typer.echo(f"{'stopped early: ' * report.impatient}best on held-out images {report.best_score:.4f} at step {report.best_step}")
    _tell_figures(card, folder / "weights.safetensors")


def _weights(model: str, start: str | None) -> Path | None:
    """The file that `--start` means."""
    from models.weights import WEIGHTS_FOLDER
    from models.zoo import list_models

    if start is None:
        return None
    if start == "shipped":
        shipped = WEIGHTS_FOLDER / f"{model}.safetensors"
        if model in list_models() and not shipped.is_file():
            raise SettingsError(
                expected="a network whose weights ship (irstream models list)",
                got=f"{model}, of which none do",
                where="weights to begin with (--start shipped)",
                action="Leave --start out to begin with random weights, or name a run's folder or a safetensors file.",
            )
        return shipped
    return Path(start) / "weights.safetensors" if Path(start).is_dir() else Path(start)


def _tell_figures(card: ModelCard, weights: Path) -> None:
    for measured in card.measured:
        typer.echo(f"{measured.data}: " + ", ".join(f"{name} {value:g}" for name, value in measured.values.items()))
    typer.echo(f"weights {weights}")


def _provenance(plan: TrainingPlan, how: str, device: str, start: Path | None) -> Provenance:
    """What the card says of how the weights came to be; `how`: by which recipe."""
    from training.registry.export import Provenance

    learnt = "" if plan.threshold is None else "learnt from all training and validation images, threshold not chosen; "
    learnt += _begun_with(start)
    return Provenance(
        shlex.join(["irstream", *sys.argv[1:]]),
        f"{how}; {learnt}{plan.epochs:g} epochs, {plan.loop.precision}",
        tuple(plan.recipe.shares),
        clock="processor_minutes" if device == "cpu" else "minutes",
        threshold=plan.threshold,
    )


def _begun_with(start: Path | None) -> str:
    """Which weights, and how those came to be, where a card of theirs says it."""
    from models.card import read_card
    from models.weights import digest_of

    if start is None:
        return ""
    digest, card, how = digest_of(start), start.with_suffix(".json"), ""
    if card.is_file():
        told = read_card(card)
        if told.digest == digest:
            how = f" ({told.recipe['command']}, {told.recipe['steps']:,} steps: {told.recipe['details']})"
    return f"begun with weights {digest[:12]}{how}; "


def _precision(asked: str, device: str) -> Any:
    """The number format of the forward pass; `auto`: the best that the device has."""
    from training.segmenter import best_precision

    if asked not in ("auto", "float32", "bfloat16"):
        raise SettingsError(expected="auto, float32 or bfloat16", got=repr(asked), where="--precision", action="Use one of these.")
    return best_precision(device) if asked == "auto" else asked


def _frozen(plan: TrainingPlan, start: str | None) -> TrainingPlan:
    """The plan with norms that keep the statistics they begin with.

    Raises:
        SettingsError: it begins with random weights.
    """
    if start is None:
        raise SettingsError(
            expected="weights to begin with",
            got="none: the norms of random weights know no statistics",
            where="batch norms that keep them (--frozen-norms)",
            action="Name the weights (--start), or train without --frozen-norms.",
        )
    return replace(plan, loop=replace(plan.loop, frozen_norms=True))


def _judged(plan: TrainingPlan, patience: int, judge_every: float | None) -> TrainingPlan:
    """The plan with a judgement every `judge_every` epochs, ended after `patience` of them without a better one; 0: not ended."""
    if not patience and judge_every is None:
        return plan
    return replace(plan, judge_epochs=judge_every or _JUDGE_EVERY_EPOCHS, loop=replace(plan.loop, patience=patience))


def _changed(
    plan: TrainingPlan,
    loss: str | None,
    schedule: str | None,
    lr: float | None,
    batch_size: int | None,
    crop_px: int | None,
    average: float | None,
    seed: int | None,
) -> TrainingPlan:
    """The plan with what was asked for on the command line.

    Raises:
        SettingsError: no such loss or schedule.
    """
    from models.losses import loss_named
    from training.loop.schedules import schedule_named

    recipe, loop = plan.recipe, plan.loop
    if loss is not None:
        loss_named(loss)
        recipe = replace(recipe, loss=loss)
    if schedule is not None:
        schedule_named(schedule)
        loop = replace(loop, schedule=schedule)
    if batch_size is not None:
        recipe = replace(recipe, batch_size=batch_size)
    if crop_px is not None:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, crop_px=crop_px))
    if seed is not None:
        recipe = replace(recipe, seed=seed)
    loop = replace(loop, max_lr=loop.max_lr if lr is None else lr, average_decay=loop.average_decay if average is None else average)
    return replace(plan, recipe=recipe, loop=loop)
