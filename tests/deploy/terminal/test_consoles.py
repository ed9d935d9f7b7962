"""Answers go to stdout, all else to stderr; errors are one line."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

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
