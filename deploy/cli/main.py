"""The command `irstream`: sub-commands are imported when used, errors become one clear message."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from deploy.cli.errors import EXIT_FAULT, EXIT_INTERRUPTED, EXIT_WRONG_USE, debugging, with_options
from deploy.cluster.interrupts import interruptible
from deploy.terminal.error_line import show_error
from deploy.terminal.streams import never_fail_for_a_character, no_echo_of_control_keys

# Name, module (each has a Typer called `app`), line in `irstream --help`.
COMMANDS = (
    ("broker", "deploy.cli.broker", "Start, stop and find a real one-node Kafka for demos and tests."),
    ("publish", "deploy.cli.publish", "Publish frames with their metadata: folders, clips, dataset indexes, or the synthetic source."),
    ("predict", "deploy.cli.predict", "Targets in images, videos and folders, without Kafka: pictures, a sheet, a Parquet."),
    ("stream", "deploy.cli.stream", "Read frames from Kafka, detect, segment, classify, write the results table."),
    (
        "reprocess",
        "deploy.cli.reprocess",
        "Process an archive at full speed: a stretch of a topic, folders, videos, data sets, another run.",
    ),
    ("diff", "deploy.cli.diff", "Compare two runs: by frame, sensor, class and time; a page with plots and pictures, a Parquet."),
    ("view", "deploy.cli.view", "The live page: sensors, targets, alerts, lag, rejections, history; zones drawn with the mouse."),
    ("show", "deploy.cli.show", "Pictures and clips from a results table: a sheet of frames, the least sure ones, a sensor, a track."),
    ("audit", "deploy.cli.audit", "Prove from broker and table alone that every message has exactly one row."),
    ("explain", "deploy.cli.explain", "All that is known of one frame: message, stages, models, detections, file and commit."),
    ("tune", "deploy.cli.tune", "Propose zones and a least score for one sensor from its own unlabelled hours."),
    ("replay-dead", "deploy.cli.replay_dead", "Feed rejected frames through again after a fix, under a run id of their own."),
    ("table", "deploy.cli.table", "Care of the results table: merge small files, delete unused ones, trim the log."),
    ("models", "deploy.cli.models", "The registered networks and their model cards."),
    ("evaluate", "deploy.cli.evaluate", "How good segmenters are on labelled images: table, JSON, Parquet, or a page with plots."),
    ("train", "deploy.cli.train", "Train a network on labelled images: live progress, resume, weights with their card."),
    ("runs", "deploy.cli.runs", "Trainings in folds: list, show, compare."),
    ("dataset", "deploy.cli.dataset", "Labelled data sets: import, check, show; write the synthetic one."),
    ("config", "deploy.cli.config", "Check and show the settings."),
    ("demo", "deploy.cli.demo", "The whole system on this machine in a few minutes: broker, feeds, stream, contact sheet."),
)


class LazyCommand(TyperCommand):
    """Stands for a command in `--help` and imports its module only when the command is used."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        """Know the help line without the module."""
        super().__init__(name=name, help=summary)
        self.module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Hand over to the real command."""
        command = typer.main.get_command(import_module(self.module).app)
        return command.make_context(info_name, args, parent=parent, **extra)


class LazyGroup(TyperGroup):
    """The root group: lazy commands, and the border where errors become messages."""

    def __init__(self, **attributes: Any) -> None:
        """Add a stand-in for each command."""
        super().__init__(**attributes)
        for name, module, summary in COMMANDS:
            self.add_command(LazyCommand(name, module, summary))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors raised on purpose become a message and an exit code, SIGTERM ends it as Ctrl-C does."""
        from contracts.errors import IrstreamError

        try:
            with no_echo_of_control_keys(), interruptible():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            show_error("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from error
        except Exception as error:
            # Ray wraps an error of another process and keeps the original as `cause`.
            ours = error if isinstance(error, IrstreamError) and not hasattr(error, "cause") else getattr(error, "cause", None)
            if not isinstance(ours, IrstreamError) or debugging():
                raise
            show_error(with_options(str(ours)))
            raise typer.Exit(getattr(ours, "exit_code", EXIT_WRONG_USE)) from error


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,  # they print local variables, which may hold secrets
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"irstream {version('irstream')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors (also IRSTREAM_DEBUG=1).")] = False,
) -> None:
    """Infrared frames in from Kafka, detections out to Parquet, exactly once."""
    if debug:
        os.environ["IRSTREAM_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the command; ends the process with its exit code."""
    never_fail_for_a_character()
    try:
        app(args=None if arguments is None else list(arguments))
    except Exception as error:
        if debugging():
            raise
        import traceback

        import irstream_names

        if advice := irstream_names.advice(error):
            show_error(advice)
            sys.exit(EXIT_WRONG_USE)
        traceback.print_exc()
        show_error("this is a fault of irstream; please report it with the lines above")
        sys.exit(EXIT_FAULT)
