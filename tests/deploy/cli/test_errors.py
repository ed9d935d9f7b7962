"""Errors speak of settings below the commands and of options at the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from contracts.errors import SettingsError
from deploy.cli import models_care
from deploy.cli.errors import OPTIONS, named_as_options, with_options
from deploy.cli.main import COMMANDS
from deploy.cli.train_options import SETTINGS

ROOT = Path(__file__).resolve().parents[3]
BELOW = ("contracts", "observability", "models", "synthetic", "evaluation", "actors", "pipeline", "training")
FLAG = re.compile(r"(?<![\w-])--[a-z]")
# Commands are quoted as they are typed: those of others, and those by which a card says how it came to be.
OTHERS = ("pip install", "kafka-topics.sh", "irstream models", " --data {}")


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string of a module but its docstrings, f-strings as one with `{}` for what is filled in."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    skipped = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            skipped |= {id(part) for part in node.values}
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def modules_below() -> list[Path]:
    return sorted(path for root in BELOW for path in (ROOT / root).rglob("*.py"))


def test_no_text_below_the_commands_names_an_option() -> None:
    found = []
    assert {path.relative_to(ROOT).parts[0] for path in modules_below()} == set(BELOW)
    for path in modules_below():
        source = path.read_text(encoding="utf-8")
        if "import argparse" in source:
            continue  # a command of its own, with options of its own
        for line, text in texts(ast.parse(source)):
            if FLAG.search(text) and not any(tool in text for tool in OTHERS):
                found.append(f"{path.relative_to(ROOT)}:{line}: {text}")
    assert found == [], "name the setting; deploy/cli/errors.py makes it an option"


def test_texts_are_found() -> None:
    tree = ast.parse('"""Uses --docs."""\nwhere = "--codec"\naction = f"{where} or --bit-depth"\n')
    assert list(texts(tree)) == [(2, "--codec"), (3, "{} or --bit-depth")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("codec: expected a codec, got jpeg. Set `codec` to png.", "--codec: expected a codec, got jpeg. Set --codec to png."),
        ("sink.table = x: expected one. Name it with `sink.table`.", "sink.table = x: expected one. Name it with --table."),
        ("reading: expected a split, got `splitting`.", "reading: expected a split, got `splitting`."),
    ],
)
def test_settings_become_options(text: str, shown: str) -> None:
    assert with_options(text) == shown


def test_settings_of_a_command_are_translated_in_backticks_only() -> None:
    with pytest.raises(SettingsError) as told, named_as_options({"loss": "--loss", "seed": "--seed"}):
        raise SettingsError(expected="`loss` bce", got="`seed` 3 and `crop`", where="runs/loss/seed.pt", action="Name another loss.")
    assert str(told.value) == "runs/loss/seed.pt: expected loss (--loss) bce, got seed (--seed) 3 and `crop`. Name another loss."


def test_every_setting_of_a_command_stands_in_backticks_in_some_message() -> None:
    said = "".join(path.read_text(encoding="utf-8") for path in modules_below())
    names = {**SETTINGS, **models_care.SETTINGS}
    # In quotes where a function puts the backticks around what it is given.
    assert [name for name in names if f"`{name}`" not in said and f'"{name}"' not in said] == []


def options_of(command: Any) -> set[str]:
    """Every option of a command and of those below it."""
    found = {option for parameter in command.params for option in parameter.opts}
    return found.union(*(options_of(below) for below in getattr(command, "commands", {}).values()))


def test_every_option_that_an_error_may_name_exists() -> None:
    offered = set[str]().union(*(options_of(typer.main.get_command(import_module(module).app)) for _, module, _ in COMMANDS))
    assert set(OPTIONS.values()) <= offered
