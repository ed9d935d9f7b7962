"""The command line: light imports, clear errors, exit codes."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

from tests import processes

pytestmark = pytest.mark.slow

HEAVY = ("torch", "ray", "pyarrow", "cv2", "matplotlib", "pandas", "scipy", "deltalake")
HEADER = "applications:\n  - import_path: deploy.app:build\n    args:\n"
# Measured: --help 6 to 7, config check 10 to 12 times a bare interpreter; one heavy import alone is above 60.
HELP_AT_MOST, CHECK_AT_MOST = 15, 30


def irstream(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")} | variables
    command = [sys.executable, "-c", "from deploy.cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


def cpu_s(*arguments: str, cwd: Path) -> float:
    """CPU seconds of one interpreter with these arguments, best of three (a busy machine only adds)."""
    best = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, timeout=300, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


@pytest.mark.parametrize(
    "module", ["deploy.cli.main", "deploy.settings.app_settings", "deploy.cli.config", "deploy.cli.stream", "deploy.cli.demo"]
)
def test_importing_a_command_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "at_most"),
    [pytest.param(("--help",), HELP_AT_MOST, id="help"), pytest.param(("config", "check"), CHECK_AT_MOST, id="check")],
)
def test_start_is_quick(arguments: tuple[str, ...], at_most: float, tmp_path: Path) -> None:
    bare_s = cpu_s("-c", "pass", cwd=tmp_path)
    command_s = cpu_s("-c", "from deploy.cli.main import main; main()", *arguments, cwd=tmp_path)
    assert command_s < at_most * bare_s


def test_help_lists_every_command(tmp_path: Path) -> None:
    from deploy.cli.main import COMMANDS

    done = irstream("--help", cwd=tmp_path, COLUMNS="120")
    assert done.returncode == 0
    listed = re.findall(r"^│ ([\w-]+) {2,}(.*?) *│$", done.stdout.split("Commands")[1], re.MULTILINE)
    assert listed == [(name, summary) for name, _, summary in COMMANDS]


def test_every_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    from deploy.cli.main import COMMANDS, main

    for name, _, _ in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code in (0, None)
        assert f" {name} " in capsys.readouterr().out.split("Usage:")[1].splitlines()[0]


def test_completion_is_offered_at_the_root_only(tmp_path: Path) -> None:
    from deploy.cli.main import COMMANDS

    assert "--install-completion" in irstream("--help", cwd=tmp_path).stdout
    # In processes of their own the commands would take a second each.
    asked = [param for _, module, _ in COMMANDS for param in get_command(import_module(module).app).params]
    assert asked
    assert [param.name for param in asked if "completion" in str(param.name)] == []


def test_version(tmp_path: Path) -> None:
    done = irstream("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"irstream {version('irstream')}\n")


def test_an_unknown_command_is_wrong_use(tmp_path: Path) -> None:
    done = irstream("steam", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'stream'?" in done.stderr


def test_mistakes_are_one_line_each_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "ray_config.yaml").write_text(HEADER + "      topic: a\n      kafka: {topic: 1, bogus: 2}\n")
    done = processes.irstream("config", "check", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 3
    assert all("ray_config.yaml:" in line for line in done.stderr.splitlines())


def test_mistakes_for_programs(tmp_path: Path) -> None:
    (tmp_path / "ray_config.yaml").write_text(HEADER + "      kafka: {bogus: 2}\n")
    done = processes.irstream("config", "check", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (2, False)
    assert told["mistakes"][0]["key"] == "kafka.bogus"
    assert told["mistakes"][0]["where"] == "ray_config.yaml:4"


def test_a_file_that_is_no_serve_config_is_told_to_programs(tmp_path: Path) -> None:
    (tmp_path / "ray_config.yaml").write_text("run_id: live\n")
    done = processes.irstream("config", "check", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (2, False)
    assert told["mistakes"][0]["where"] == "ray_config.yaml"
    assert told["mistakes"][0]["got"] == "no list `applications`"


def test_a_password_in_the_url_of_the_table_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for command in (("show",), ("show", "--json"), ("check",)):
        done = processes.irstream("config", *command, cwd=tmp_path, IRSTREAM_SINK__TABLE="s3://KEY:hunter2@bucket/x")
        assert done.returncode == 2
        assert "sink.table" in done.stderr + done.stdout
        assert "storage_options" in done.stderr + done.stdout
        assert "hunter2" not in done.stderr + done.stdout


def test_debug_shows_where_an_error_was_raised(tmp_path: Path) -> None:
    assert "Traceback" in processes.irstream("--debug", "config", "check", "--config", "gone.yaml", cwd=tmp_path).stderr
    assert "Traceback" in processes.irstream("config", "check", "--config", "gone.yaml", cwd=tmp_path, IRSTREAM_DEBUG="1").stderr


def test_check_of_the_default_is_right(tmp_path: Path) -> None:
    done = processes.irstream("config", "check", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)


def test_show_tells_value_and_origin_and_hides_secrets(tmp_path: Path) -> None:
    (tmp_path / "ray_config.yaml").write_text(HEADER + "      sink:\n        storage_options: {AWS_SECRET_ACCESS_KEY: hunter2}\n")
    done = processes.irstream("config", "show", "--json", cwd=tmp_path, IRSTREAM_KAFKA__TOPIC="elsewhere")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["settings"]["kafka"]["topic"] == "elsewhere"
    assert told["origins"]["kafka.topic"] == "IRSTREAM_KAFKA__TOPIC"
    assert told["origins"]["kafka.alerts_topic"] == "default"
    table = processes.irstream("config", "show", cwd=tmp_path, IRSTREAM_KAFKA__TOPIC="elsewhere").stdout
    assert "hunter2" not in done.stdout + table
    assert "elsewhere" in table
    assert "ray_config.yaml:5" in table


def test_a_fault_of_irstream_is_no_wrong_use(tmp_path: Path) -> None:
    code = "import deploy.cli.main as m; m.LazyGroup.invoke = lambda self, ctx: 1 / 0; m.main(['config', 'check'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 70
    assert "ZeroDivisionError" in done.stderr


def test_an_interrupt_is_told_in_one_line(tmp_path: Path) -> None:
    code = """
import typer.core, deploy.cli.main as m
def interrupted(self, ctx): raise KeyboardInterrupt
typer.core.TyperGroup.invoke = interrupted
m.main(["config", "check"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


NOISY = """
import os
from deploy.cli.options import print_json, stdout_for_json
with stdout_for_json({as_json}):
    os.write(1, b"what a library writes\\n")
    print("what Python prints")
print_json({{"answer": 42}})
"""


@pytest.mark.parametrize("as_json", [True, False])
def test_with_json_stdout_holds_the_one_object_whatever_libraries_print(as_json: bool) -> None:
    done = subprocess.run([sys.executable, "-c", NOISY.format(as_json=as_json)], capture_output=True, text=True, timeout=300, check=True)
    noise = done.stderr if as_json else done.stdout
    assert "what a library writes" in noise
    assert "what Python prints" in noise
    assert (done.stdout == '{"answer": 42}\n') is as_json
