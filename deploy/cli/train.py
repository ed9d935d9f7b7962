"""`irstream train`: train a network on one machine, with live progress, and hand over weights with their card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from contracts.errors import SettingsError
from contracts.text import counted
from deploy.cli.errors import named_as_options
from deploy.cli.options import JsonOption, print_json
from deploy.cli.train_folds import FoldOptions, names_of_sets, train_in_folds
from deploy.cli.train_options import (
    SETTINGS,
    AverageOption,
    BatchSizeOption,
    CheckpointOption,
    CropOption,
    DataOption,
    DeviceOption,
    EarlyStopOption,
    EpochsOption,
    FoldSeedOption,
    FoldsOption,
    FrozenNormsOption,
    GpusOption,
    LeaksOption,
    LossOption,
    MinutesOption,
    MlflowOption,
    ModeOption,
    NetworkArgument,
    OutOption,
    PrecisionOption,
    RateOption,
    RecipeOption,
    ScheduleOption,
    SeedOption,
    ShotsOption,
    SideBySideOption,
    StartOption,
    StratifyOption,
    TaskOption,
    TeacherOption,
    TeacherShareOption,
    UnknownOption,
    ValidateEveryOption,
    ValidationShareOption,
    WorkersOption,
)

_VALIDATE_EVERY_EPOCHS = 5.0
_MODES, _SHOTS = ("full", "head", "prototypes"), 20

if TYPE_CHECKING:
    from models.card import ModelCard
    from models.interface import Task
    from training.loop.loop import LoopReport
    from training.recipes import TrainingPlan
    from training.registry.export import Provenance
    from training.tasks.base import Recipe

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    model: NetworkArgument,
    task: TaskOption = None,
    data: DataOption = None,
    recipe: RecipeOption = "ours",
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    start: StartOption = None,
    teacher: TeacherOption = None,
    teacher_share: TeacherShareOption = None,
    loss: LossOption = None,
    schedule: ScheduleOption = None,
    lr: RateOption = None,
    batch_size: BatchSizeOption = None,
    crop_px: CropOption = None,
    average: AverageOption = None,
    mode: ModeOption = "full",
    shots: ShotsOption = None,
    frozen_norms: FrozenNormsOption = False,
    unknown_share: UnknownOption = None,
    seed: SeedOption = None,
    precision: PrecisionOption = "auto",
    early_stop: EarlyStopOption = 0,
    validate_every: ValidateEveryOption = None,
    checkpoint_s: CheckpointOption = 120.0,
    out: OutOption = None,
    device: DeviceOption = "cpu",
    workers: WorkersOption = None,
    folds: FoldsOption = None,
    gpus_per_worker: GpusOption = 0.0,
    stratify: StratifyOption = "class",
    validation_share: ValidationShareOption = 0.15,
    fold_seed: FoldSeedOption = 0,
    allow_leaks: LeaksOption = False,
    side_by_side: SideBySideOption = None,
    mlflow: MlflowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a registered network and write `weights.safetensors` with its card into the folder of the run.

    The same command goes on where it was killed or stopped. Held-out training images choose the threshold. With the recipes of papers
    all images teach, and the threshold stays 0.5, as published.

    With --folds: each fold trains on its own images through Ray Train and is measured on those it never saw; --data names data sets in
    Parquet (irstream dataset import). With --json each line is one JSON object, the last one the result.
    """
    from deploy.terminal.consoles import note_console
    from deploy.terminal.tracking import curve_of, keep_result, tracked_training
    from deploy.terminal.training_view import export_shown, learn
    from models.devices import choose_device
    from training.fit import Machine
    from training.loop.prefetch import default_workers
    from training.recipes import plan_named

    with named_as_options(SETTINGS):
        device = str(choose_device(device))
        _require_one_length(epochs, minutes)
        _require_no_folds(teacher, folds)
        sets = (data or ()) if folds is None else names_of_sets(data)
        named = plan_named(recipe, sets, epochs, _task_of(model, task))
        named = replace(named, minutes=minutes or 0.0)
        plan = _changed(named, schedule, lr, average)
        plan = replace(plan, recipe=_recipe_changed(plan, loss, batch_size, crop_px, seed, unknown_share))
        plan = replace(plan, recipe=_taught(plan.recipe, teacher or [], teacher_share))
        plan = _frozen(plan, start) if frozen_norms else plan
        plan = _in_mode(plan, mode, start, shots, folds)
        how = named.source + "; changed as the command says" * (plan != named)
        plan = replace(plan, loop=replace(plan.loop, precision=_precision(precision, device), checkpoint_s=checkpoint_s))
        plan = _validated(plan, early_stop, validate_every)
        folder, weights = Path(out or Path("runs/train") / model), _weights(model, start)
        if folds is not None:
            options = FoldOptions(
                folds=folds,
                data=data or (),
                out=out or str(folder),
                workers=workers or 1,
                gpus_per_worker=gpus_per_worker,
                stratify=stratify,
                validation_share=validation_share,
                fold_seed=fold_seed,
                allow_leaks=allow_leaks,
                side_by_side=side_by_side,
                start=weights,
                mlflow=mlflow,
            )
            train_in_folds(model, plan, options, as_json)
            return
        machine = Machine(device=device, workers=default_workers(device) if workers is None else workers)
        console = note_console()
        headline = f"{model}, recipe {recipe}, {plan.length()}, {plan.loop.precision}, {device}; {folder}"
        with tracked_training(console, mlflow, str(folder), model, plan) as tracker:
            report = learn(console, model, plan, folder, machine, weights, headline, curve_of(tracker))
            card = export_shown(console, model, folder, _provenance(plan, how, device, weights), device)
            keep_result(tracker, folder, report, card)
    _print_result(report, card, folder, device, as_json)


def _require_one_length(epochs: float | None, minutes: float | None) -> None:
    """Refuse two lengths of one training.

    Raises:
        SettingsError: passes and minutes were both asked for.
    """
    if epochs is not None and minutes:
        raise SettingsError(
            expected="one length of the training",
            got=f"{counted(epochs, 'epoch')} and {counted(minutes, 'minute')}",
            where="--epochs, --minutes",
            action="Leave one of them out.",
        )


def _require_no_folds(teachers: list[str] | None, folds: int | None) -> None:
    """Refuse teachers that know the images a fold is tested on.

    Raises:
        SettingsError: both were asked for.
    """
    if teachers and folds is not None:
        raise SettingsError(
            expected="a training without folds",
            got=f"--folds {folds}",
            where="`teacher`",
            action="A teacher has seen images that a fold is tested on: train the student without folds, or the folds without a teacher.",
        )


def _print_result(report: LoopReport, card: ModelCard, folder: Path, device: str, as_json: bool) -> None:
    if as_json:
        print_json({"weights": str(folder / "weights.safetensors"), "steps": report.steps, "card": card.model_dump(mode="json")})
        return
    took = f"{report.elapsed_s:.0f} s{' of processor time' * (device == 'cpu')}"
    typer.echo(f"{counted(report.steps, 'step')} in {took}, loss {report.last_loss:.4f}")
    if report.best_score is not None:
        typer.echo(f"{'stopped early: ' * report.stopped_early}best on held-out images {report.best_score:.4f} at step {report.best_step}")
    for measured in card.measured:
        typer.echo(f"{measured.data}: " + ", ".join(f"{name} {value:g}" for name, value in measured.values.items()))
    typer.echo(f"weights {folder / 'weights.safetensors'}")


def _task_of(model: str, asked: str | None) -> Task:
    """The task of a network.

    Raises:
        SettingsError: no such network, or another task was asked for.
    """
    from models.interface import Task
    from models.zoo import task_named

    task = task_named(model)
    if asked is not None and asked != task:
        raise SettingsError(
            expected=f"one of {', '.join(Task)}" if asked not in list(Task) else f"{task}, the task of {model}",
            got=repr(asked),
            where="--task",
            action="Leave it out, or name a network of that task (irstream models list).",
        )
    return task


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


def _provenance(plan: TrainingPlan, how: str, device: str, start: Path | None) -> Provenance:
    """The card's text about the origin of the weights; `how`: by which recipe."""
    from deploy.terminal.tracking import command_line
    from training.data.samples import Role
    from training.registry.export import Provenance

    learnt = "learnt from all training and validation images, threshold not chosen; " if Role.SELECT in plan.recipe.roles else ""
    return Provenance(
        command_line(),
        f"{how}; {learnt}{_begun_with(start)}{_taught_by(plan.recipe)}{plan.length()}, {plan.loop.precision}",
        plan.recipe,
        clock="processor_minutes" if device == "cpu" else "minutes",
    )


def _begun_with(start: Path | None) -> str:
    """Text: the weights to begin with, and their origin where a card of theirs says it."""
    from models.card import read_card
    from models.weights import digest_of

    if start is None:
        return ""
    digest, card, how = digest_of(start), start.with_suffix(".json"), ""
    if card.is_file():
        before = read_card(card)
        if before.digest == digest:
            how = f" ({before.recipe['command']}, {before.recipe['steps']:,} steps: {before.recipe['details']})"
    return f"begun with weights {digest[:12]}{how}; "


def _taught_by(recipe: Recipe) -> str:
    """Text: the teachers and their share."""
    from training.tasks.teachers import what_they_know

    if not recipe.teachers:
        return ""
    names = ", ".join(teacher.digest[:12] for teacher in recipe.teachers)
    return f"taught by weights {names} (share {recipe.teacher_share:g}), {what_they_know(recipe.teachers, recipe.sets)}; "


def _precision(asked: str, device: str) -> Any:
    """The number format of the forward pass; `auto`: the best that the device has."""
    from training.fit import best_precision

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
            expected="`weights to begin with`",
            got="none: the norms of random weights know no statistics",
            where="batch norms that keep them (--frozen-norms)",
            action="Name the weights (--start), or train without --frozen-norms.",
        )
    return replace(plan, loop=replace(plan.loop, frozen_norms=True))


def _in_mode(plan: TrainingPlan, mode: str, start: str | None, shots: int | None, folds: int | None) -> TrainingPlan:
    """The plan for what is to change of given weights.

    Raises:
        SettingsError: no such mode, one that begins with no weights, or one that does not go with other options.
    """
    from contracts.choices import chosen

    mode = chosen({name: name for name in _MODES}, mode, "`mode`")
    if shots is not None and mode != "prototypes":
        raise SettingsError(expected="--mode prototypes", got=mode, where="--shots", action="Leave it out.")
    if mode == "full":
        return plan
    if start is None:
        raise SettingsError(
            expected="`weights to begin with`",
            got="none: nothing but the last layer would know anything",
            where=f"--mode {mode}",
            action="Name the weights (--start), or let all of the network learn.",
        )
    if mode == "head":
        return replace(plan, loop=replace(plan.loop, learns="head", frozen_norms=True))
    if folds is not None:
        raise SettingsError(expected="no folds", got=f"--folds {folds}", where="--mode prototypes", action="Leave one of them out.")
    return replace(plan, recipe=plan.recipe.with_prototypes(shots or _SHOTS))


def _validated(plan: TrainingPlan, patience: int, every: float | None) -> TrainingPlan:
    """The plan with a validation every so many epochs, ended after `patience` of them without a better one; 0: not ended."""
    if not patience and every is None:
        return plan
    return replace(plan, validate_every_epochs=every or _VALIDATE_EVERY_EPOCHS, loop=replace(plan.loop, patience=patience))


def _changed(plan: TrainingPlan, schedule: str | None, lr: float | None, average: float | None) -> TrainingPlan:
    """The plan with what was asked for of its loop.

    Raises:
        SettingsError: no such schedule, or a number that is none.
    """
    from training.loop.schedules import schedule_named

    loop = plan.loop
    if schedule is not None:
        schedule_named(schedule)
        loop = replace(loop, schedule=schedule)
    loop = replace(loop, max_lr=loop.max_lr if lr is None else lr, average_decay=loop.average_decay if average is None else average)
    return replace(plan, loop=loop)


def _taught(recipe: Recipe, teachers: list[str], share: float | None) -> Recipe:
    """The recipe with teachers.

    Raises:
        SettingsError: teachers are not there, or networks of this task learn from none.
    """
    from training.tasks.teachers import teachers_named

    if share is not None and not teachers:
        raise SettingsError(expected="`teacher`", got="none", where="`share of the teachers`", action="Name a teacher, or leave this out.")
    return recipe.with_teachers(teachers_named(teachers), share)


def _recipe_changed(
    plan: TrainingPlan, loss: str | None, batch_size: int | None, crop_px: int | None, seed: int | None, unknown_share: float | None
) -> Recipe:
    """The recipe of a plan with what was asked for.

    Raises:
        SettingsError: no such loss, or the task has no choice of it.
    """
    recipe = plan.recipe
    if loss is not None:
        recipe = recipe.with_loss(loss)
    if crop_px is not None:
        recipe = recipe.with_crop(crop_px)
    return recipe.with_numbers(batch_size, seed, unknown_share)
