"""The commands that check: a lane that fails is heard of, and a test that computes for long cannot hide among the fast ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.side_by_side import files_that_name, lanes_of, run

ROOT = Path(__file__).parents[1]
_TESTS = """
import time
import pytest

def compute(cpu_s):
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass

def test_quick():
    pass

def test_sleeps():
    time.sleep(0.6)

@pytest.mark.slow
def test_marked():
    compute(0.6)

def test_unmarked():
    compute(0.6)
"""


def pytest_run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text("from tests.fast_tests import *\n")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow\nfast_test_cpu_s = 0.3\n")
    (folder / "test_some.py").write_text(_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_test_that_computes_for_long_is_marked_or_named(tmp_path: Path) -> None:
    done = pytest_run(tmp_path)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "4 passed" in done.stdout
    named = [line for line in done.stdout.splitlines() if "CPU time" in line]
    assert len(named) == 1
    assert named[0].startswith("test_some.py::test_unmarked: expected at most 0.3 s of CPU time, got 0.")


@pytest.mark.slow
def test_without_a_limit_or_such_a_test_all_is_well(tmp_path: Path) -> None:
    assert pytest_run(tmp_path, "-o", "fast_test_cpu_s=0").returncode == 0
    assert pytest_run(tmp_path, "-k", "not unmarked").returncode == 0


def exiting(code: int) -> tuple[str, ...]:
    return sys.executable, "-c", f"print('says', {code}); raise SystemExit({code})"


def test_every_lane_runs_to_its_end_and_a_failure_counts(capfd: pytest.CaptureFixture[str]) -> None:
    handler = signal.getsignal(signal.SIGINT)
    assert run([[("one", exiting(3)), ("two", exiting(0))], [("three", exiting(0))]]) == 3
    shown = capfd.readouterr().out
    assert {"one   | says 3", "two   | says 0", "three | says 0"} <= set(shown.splitlines())
    assert "one: failed (3)" in shown
    assert "two: passed" in shown
    assert "three: passed" in shown
    assert signal.getsignal(signal.SIGINT) is handler


def test_all_passed_is_0_and_a_killed_command_is_not() -> None:
    assert run([[("one", exiting(0))], [("two", exiting(0))]]) == 0
    killed = sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run([[("one", exiting(0))], [("two", killed)]]) == 1


def test_ctrl_c_starts_nothing_more(capfd: pytest.CaptureFixture[str]) -> None:
    interrupting = sys.executable, "-c", "import os, signal; os.kill(os.getppid(), signal.SIGINT)"
    assert run([[("one", interrupting), ("two", exiting(0))]]) == 130
    assert "says" not in capfd.readouterr().out


def commands_of(target: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(command) for lane in lanes_of(target, ()) for name, command in lane}


def selected_by(target: str, name: str) -> str:
    command = commands_of(target)[name]
    return command[command.index("pytest") + 2]


@pytest.mark.parametrize("target", ["check", "test"])
def test_both_targets_lint(target: str) -> None:
    assert commands_of(target)["lint"] == ("make", "--no-print-directory", "lint")


def test_the_lanes_of_all_tests_leave_none_out() -> None:
    selected = {name: selected_by("test", name) for name in commands_of("test") if name != "lint"}
    computes = "(not broker and not ray) and not whole_matrix"
    assert selected == {
        "stream": "(ray) and not whole_matrix",
        "kafka": "(broker and not ray) and not whole_matrix",
        "lower": computes,
        "upper": computes,
    }
    fast = "(not broker and not ray and not slow) and not whole_matrix"
    assert {name: selected_by("check", name) for name in commands_of("check") if name != "lint"} == {"lower": fast, "upper": fast}


@pytest.mark.parametrize("target", ["check", "test"])
def test_the_lanes_that_compute_leave_no_folder_out(target: str) -> None:
    commands = commands_of(target)
    lower = {option for option in commands["lower"] if option.startswith("tests/")}
    ignored = {option.removeprefix("--ignore=") for option in commands["upper"] if option.startswith("--ignore=")}
    assert lower == ignored != set()
    assert all((ROOT / folder).is_dir() for folder in lower)


def test_the_fast_tests_have_a_bound() -> None:
    assert all("fast_test_cpu_s=3" in commands_of("check")[name] for name in ("lower", "upper"))


def test_the_lanes_with_ray_and_kafka_import_the_files_of_their_tests_only() -> None:
    ray, broker = (set(files_that_name(mark)) for mark in ("ray", "broker"))
    assert {"tests/integration/test_poison.py", "tests/faults/test_matrix.py"} <= ray & broker
    assert "tests/pipeline/kafka/test_group.py" in broker - ray
    assert "tests/models/test_zoo.py" not in ray | broker
    commands = commands_of("test")
    assert ray <= set(commands["stream"])
    assert broker <= set(commands["kafka"])


@pytest.mark.slow
def test_a_mark_that_is_not_written_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = ray\n")
    (tmp_path / "marks.py").write_text("import pytest\nMARK = pytest.mark." + "ray\n")
    (tmp_path / "test_some.py").write_text("from marks import MARK\n\n@MARK\ndef test_some():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_some.py: expected pytest.mark." in done.stderr
