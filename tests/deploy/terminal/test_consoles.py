"""Answers go to stdout, all else to stderr; errors are one line."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.terminal.consoles import answer_console, note_console, status, table_console
from deploy.terminal.error_line import show_error

LONG = "word " * 60 + "end"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_answers_are_never_wrapped_and_leave_stdout_to_json(capsys: pytest.CaptureFixture[str]) -> None:
    answer_console().print(LONG)
    assert capsys.readouterr() == (LONG + "\n", "")
    answer_console(stdout_is_json=True).print(LONG)
    assert capsys.readouterr() == ("", LONG + "\n")


def test_tables_are_as_wide_as_the_terminal_and_wide_elsewhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    table_console().print("x" * 200)
    assert capsys.readouterr() == ("x" * 200 + "\n", "")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    table_console().print("x" * 200)
    assert terminal.getvalue().splitlines() == ["x" * 80, "x" * 80, "x" * 40]


@pytest.mark.parametrize("console", [answer_console, note_console, table_console])
def test_no_view_lets_control_characters_of_others_through(
    console: Callable[[], Console], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal with colours: the console's own codes stay, those in text are shown."""
    table = Table("sensor")
    table.add_row(Text("cam\x1b[2J\x9bA"))
    for thing in ("cam\x1b[2J\x9bA", Text("cam\x1b[2J\x9bA", style="red"), table):
        console().print(thing, end="")
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert "\x9b" not in out + err
        assert "\\x1b[2J" in out + err
    terminal = Terminal()
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    console().print(Text("cam\x1b[2J", style="red"))
    assert terminal.getvalue().startswith("\x1b[31mcam\\x1b[2J")


def test_where_no_terminal_is_no_table_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("name", "value", box=None)
    table.add_row("n" * 300, "v" * 300)
    for console in (answer_console(), table_console()):
        console.print(table)
        line = capsys.readouterr().out.splitlines()[1]
        assert line.split() == ["n" * 300, "v" * 300]


def test_notes_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note_console().print("on the way")
    assert capsys.readouterr() == ("", "on the way\n")


def test_a_status_is_for_terminals_only(capsys: pytest.CaptureFixture[str]) -> None:
    with status("reading") as say:
        say("reading more")
    assert capsys.readouterr() == ("", "")
    terminal = Terminal()
    with status("reading [/x]", Console(file=terminal, force_terminal=True, color_system=None, width=80)) as say:
        say("reading out[v2], then [/x]")
    assert "reading out[v2], then [/x]" in terminal.getvalue()


@pytest.mark.parametrize("text", ["expected [1, 2], got [red]3[/red]", "one\ntwo"])
def test_an_error_is_told_to_the_letter(text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    show_error(text)
    assert capsys.readouterr() == ("", f"error: {text}\n")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    show_error(text)
    assert terminal.getvalue() == f"error: {text}\n"
