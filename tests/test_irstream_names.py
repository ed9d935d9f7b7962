"""Our root packages are ours in every process of irstream, whatever lies in the working folder; other processes notice nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import irstream_names
from irstream_names import INSTALLED, PACKAGES, VARIABLE
from tests.installed import ROOT, ROOT_FILES, Environment, clean, copy_of_the_sources, fill_with_strangers, new_environment, with_wheel

KINDS = ("module", "package", "folder")
# Every root package by its own name, and where each came from.
WHERE = f"""
import json
from importlib import import_module
found = [import_module(name) for name in {PACKAGES}]
print(json.dumps([getattr(module, "__file__", None) or list(module.__path__)[0] for module in found]))
"""
IN_A_CHILD = f"""
import multiprocessing, os, sys
code = {WHERE!r}
if __name__ == "__main__":
    import deploy
    sys.path.insert(0, os.getcwd())  # children get this path
    child = multiprocessing.get_context("spawn").Process(target=exec, args=(code, dict()))
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


def ours(folder: Path) -> list[str]:
    return [str(folder / name / "__init__.py") for name in PACKAGES]


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    folder = tmp_path_factory.mktemp("editable")
    sources = copy_of_the_sources(folder / "sources")
    made = new_environment(folder / "environment")
    made.see_dependencies()  # setuptools among them, which builds
    made.install("--editable", str(sources))
    return made, sources


@pytest.fixture(params=["wheel", "editable"])
def home(request: pytest.FixtureRequest) -> tuple[Environment, Path]:
    """An environment with irstream in it, and the folder its packages are in."""
    if request.param == "editable":
        made: tuple[Environment, Path] = request.getfixturevalue("editable")
        return made
    installed: Environment = request.getfixturevalue("installed")
    return installed, installed.packages


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_starts_in_a_folder_of_strangers(home: tuple[Environment, Path], tmp_path: Path, kind: str) -> None:
    environment, folder = home
    strangers = fill_with_strangers(tmp_path / kind, kind)
    done = environment.run("irstream", "config", "check", cwd=strangers, env={"PYTHONPATH": str(strangers)})
    assert (done.returncode, done.stderr) == (0, "")
    assert str(folder / "deploy" / "default_config.yaml") in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_process_started_with_the_variable_finds_ours(home: tuple[Environment, Path], tmp_path: Path, kind: str) -> None:
    environment, folder = home
    done = environment.run("python", "-c", WHERE, cwd=fill_with_strangers(tmp_path / kind, kind), env={VARIABLE: INSTALLED})
    assert done.stdout, done.stderr
    assert json.loads(done.stdout) == ours(folder)


@pytest.mark.slow
def test_a_process_that_is_none_of_ours_finds_its_own(home: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, _ = home
    (tmp_path / "models.py").write_text("import sys\nprint('mine', 'irstream_names' in sys.modules)\n")
    done = environment.run("python", "-c", "import models", cwd=tmp_path)
    assert done.stdout == "mine False\n", done.stderr


@pytest.mark.slow
def test_a_process_that_imports_deploy_is_ours_and_so_are_its_children(home: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, folder = home
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "elsewhere" / "script.py"
    script.write_text(IN_A_CHILD)
    strangers = fill_with_strangers(tmp_path / "strangers", "package")
    done = environment.run("python", str(script), cwd=strangers)
    assert done.stdout, done.stderr
    assert json.loads(done.stdout) == ours(folder)


@pytest.mark.slow
def test_another_source_tree_is_taken_when_pythonpath_names_it(installed: Environment, tmp_path: Path) -> None:
    strangers = fill_with_strangers(tmp_path / "strangers", "package")
    for code in (WHERE, f"import deploy, os; del os.environ[{VARIABLE!r}]\n{WHERE}"):
        done = installed.run("python", "-c", code, cwd=strangers, env={VARIABLE: INSTALLED, "PYTHONPATH": str(ROOT)})
        assert json.loads(done.stdout) == ours(ROOT)
    done = installed.run("python", "-c", f"import deploy\n{WHERE}", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert json.loads(done.stdout) == ours(ROOT), "a checkout that is run as it is"


@pytest.mark.slow
def test_a_package_of_the_name_in_another_place_of_the_path_is_passed_by(installed: Environment, tmp_path: Path) -> None:
    site = fill_with_strangers(tmp_path / "other-packages", "package")
    code = f"import contracts.errors, deploy.cli.errors\n{WHERE}"
    done = installed.run("python", "-c", code, cwd=tmp_path, env={"PYTHONPATH": str(site), VARIABLE: INSTALLED})
    assert done.stdout, done.stderr
    assert json.loads(done.stdout) == ours(installed.packages)


@pytest.mark.slow
def test_a_name_that_is_taken_already_is_told_with_both_files(installed: Environment, tmp_path: Path) -> None:
    (tmp_path / "models.py").touch()
    done = installed.run("python", "-c", "import models, sys; sys.path.pop(0); import deploy", cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"{tmp_path / 'models.py'}: expected {installed.packages / 'models'} under the name `models`" in last


def other_distribution(folder: Path, *files: str) -> Path:
    """The wheel of somebody else's package: each of its files raises."""
    wheel, info = folder / "modelzoo-1.2-py3-none-any.whl", "modelzoo-1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in files:
            archive.writestr(file, "raise ImportError('a stranger')\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: modelzoo\nVersion: 1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in files))
    return wheel


@pytest.fixture(scope="module")
def spoilt(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that tests damage and mend."""
    return with_wheel(tmp_path_factory.mktemp("spoilt") / "environment", wheel)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["actors/settings.py", "deploy/__init__.py"])
def test_a_file_that_another_distribution_has_written_over_is_told(spoilt: Environment, tmp_path: Path, file: str) -> None:
    """Nothing can win here: there is one file, and it is not ours any more."""
    place = spoilt.packages / file
    content = place.read_bytes()
    spoilt.install("--force-reinstall", str(other_distribution(tmp_path, file)))
    done = spoilt.run("irstream", "config", "check", cwd=tmp_path)
    place.write_bytes(content)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert f"{place}: expected the file of irstream, got the one of modelzoo 1.2" in done.stderr
    assert "pip uninstall modelzoo" in done.stderr


@pytest.mark.slow
def test_a_package_that_is_gone_is_told(spoilt: Environment, tmp_path: Path) -> None:
    """Uninstalling the other distribution takes our file along."""
    place = spoilt.packages / "contracts" / "__init__.py"
    content = place.read_bytes()
    place.unlink()
    done = spoilt.run("irstream", "config", "check", cwd=fill_with_strangers(tmp_path / "strangers", "package"))
    place.write_bytes(content)
    assert done.returncode == 2
    assert done.stderr == f"error: {place}: expected a package of irstream, got no such file. Install irstream again.\n"


@pytest.mark.slow
def test_nothing_is_told_of_an_installation_as_it_should_be(installed: Environment, tmp_path: Path) -> None:
    done = installed.run("python", "-c", "import irstream_names as names; print(list(names.replaced()))", cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.slow
def test_the_wheel_holds_every_file_that_is_read_beside_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("no git checkout: what belongs into the wheel is not known")
    wanted = set(tracked.stdout.splitlines()) | set(ROOT_FILES)
    assert len(wanted) > 200
    assert {file for file in wanted if not file.endswith(".md")} - packed == set()
    assert {name.split("/")[0] for name in packed} == {*PACKAGES, *ROOT_FILES, "irstream-0.1.0.dist-info"}


def test_every_root_package_is_pinned() -> None:
    """A root folder with code that is forgotten in `PACKAGES` could be shadowed again."""
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert set(PACKAGES) == folders


def test_pinning_again_leaves_one_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "to be restored")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    irstream_names.pin(str(ROOT))
    irstream_names.pin(str(ROOT))
    pinned = [finder for finder in sys.meta_path if isinstance(finder, irstream_names.PinnedFinder)]
    assert [finder.folder for finder in pinned] == [str(ROOT)]
    assert sys.meta_path[0] is pinned[0]
    assert clean().get(VARIABLE) is None
