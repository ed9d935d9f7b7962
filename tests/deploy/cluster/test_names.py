"""Where our root packages cannot win, one error names both files, before Ray starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.cluster.names import runtime_env
from irstream_names import INSTALLED, VARIABLE
from models import own_networks
from tests.installed import ROOT, Environment, fill_with_strangers, new_environment

RAY_SESSION = """
from deploy.cluster.session import ray_session
with ray_session():
    print("in")
"""
# As a worker of Serve that heeds no variable: ours come first when `deploy` is imported, and the working folder afterwards.
BUILD = """
import sys
from deploy.app import build
sys.path.insert(0, sys.argv[1])
print(type(build({})).__name__)
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which irstream is not installed."""
    made = new_environment(tmp_path_factory.mktemp("bare") / "environment")
    made.see_dependencies()
    return made


def run(environment: Environment, code: str, cwd: Path, **env: str) -> tuple[str, str]:
    script = cwd.parent / "driver.py"
    script.write_text(code)
    done = environment.run("python", str(script), str(cwd), cwd=cwd, env={"RAY_ADDRESS": "", **env})
    return done.stdout, done.stderr.splitlines()[-1] if done.stderr else ""


@pytest.mark.slow
def test_workers_that_are_not_pinned_are_not_started_among_strangers(bare: Environment, tmp_path: Path) -> None:
    strangers = fill_with_strangers(tmp_path / "strangers", "module", ["models"])
    out, error = run(bare, RAY_SESSION, strangers, PYTHONPATH=str(ROOT))
    assert out == ""
    assert "contracts.errors.SettingsError: start of Ray" in error
    assert str(ROOT / "models" / "__init__.py") in error
    assert str(strangers / "models.py") in error


@pytest.mark.slow
def test_an_application_that_pins_no_workers_is_refused_among_strangers(installed: Environment, tmp_path: Path) -> None:
    strangers = fill_with_strangers(tmp_path / "strangers", "package", ["models"])
    out, error = run(installed, BUILD, strangers)
    assert out == ""
    assert "contracts.errors.SettingsError: Serve application" in error
    assert str(installed.packages / "models" / "__init__.py") in error
    assert str(strangers / "models" / "__init__.py") in error
    assert f"runtime_env: {{env_vars: {{{VARIABLE}: {INSTALLED}}}}}" in error


@pytest.mark.slow
def test_an_application_is_built_where_its_workers_find_ours(installed: Environment, tmp_path: Path) -> None:
    strangers = fill_with_strangers(tmp_path / "strangers", "package", ["models"])
    assert run(installed, BUILD, strangers, **{VARIABLE: INSTALLED}) == ("Application\n", "")


@pytest.mark.parametrize(
    ("named", "passed_on"),
    [(None, {}), (" ", {}), ("my.networks", {"IRSTREAM_NETWORKS": "my.networks"}), ("a, b", {"IRSTREAM_NETWORKS": "a,b"})],
)
def test_workers_of_a_cluster_know_our_own_networks(monkeypatch: pytest.MonkeyPatch, named: str | None, passed_on: dict[str, str]) -> None:
    monkeypatch.delenv(own_networks.VARIABLE, raising=False)
    if named is not None:
        monkeypatch.setenv(own_networks.VARIABLE, named)
    assert runtime_env() == {"env_vars": {VARIABLE: INSTALLED} | passed_on}
