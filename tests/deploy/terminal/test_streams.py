"""Standard streams whose encoding lacks characters."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("command", [["config", "show"], ["config", "check", "--config", "①"]], ids=" ".join)
def test_no_character_fails_in_an_ascii_locale(command: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "IRSTREAM_KAFKA__TOPIC": "①é"}
    code = f"from deploy.cli.main import main; main({command})"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert "\\u2460" in done.stdout + done.stderr
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr


ECHOES = """
import os, sys, termios
from deploy.terminal.streams import no_echo_of_control_keys
echoes = lambda: bool(termios.tcgetattr(0)[3] & termios.ECHOCTL)
with no_echo_of_control_keys():
    inside = echoes()
print([inside, echoes()], file=sys.stderr)
"""
FORKS = """
import os, sys
from deploy.terminal.streams import no_echo_of_control_keys
with no_echo_of_control_keys():
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # as a driver that is started again when it dies
if child == 0:
    os._exit(7)
status = os.waitpid(child, os.WUNTRACED)[1]
print([os.WIFSTOPPED(status), os.WIFEXITED(status) and os.WEXITSTATUS(status)], file=sys.stderr)
if os.WIFSTOPPED(status):
    os.kill(child, 9)
"""


@pytest.mark.parametrize(("code", "said"), [(ECHOES, "[False, True]"), (FORKS, "[False, 7]")], ids=["echoes", "forks"])
def test_ctrl_c_writes_nothing_into_what_is_drawn_and_a_child_behind_ends(code: str, said: str) -> None:
    # In a process of its own, whose terminal it is.
    ours, theirs = pty.openpty()
    try:
        flags = termios.tcgetattr(theirs)
        flags[3] |= termios.ECHOCTL
        termios.tcsetattr(theirs, termios.TCSANOW, flags)
        done = subprocess.run(
            ["setsid", "--ctty", "--wait", sys.executable, "-c", code],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stderr.strip() == said


LAST_WORDS = """
import sys
from rich.console import Console
from deploy.terminal.error_line import show_warning
from deploy.terminal.streams import last_words
with last_words():
    Console().print("the answer") if sys.argv[1] == "table" else print("the answer")
show_warning("goes nowhere")
sys.exit(7)
"""


@pytest.mark.parametrize("kind", ["table", "json"])
def test_an_answer_that_nobody_reads_does_not_undo_the_work(kind: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", LAST_WORDS, kind]
        done = subprocess.run(command, stdout=writing, timeout=300, check=False)
    finally:
        os.close(writing)
    assert done.returncode == 7
