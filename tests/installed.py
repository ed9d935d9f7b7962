"""irstream as a user has it: a wheel, or an editable install, in a virtual environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irstream_names import PACKAGES, VARIABLE

ROOT = Path(__file__).resolve().parents[1]
ROOT_FILES = ("irstream.pth", "irstream.py", "irstream_names.py")
"""Of the wheel, beside the packages."""
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
_OFFLINE = ("--no-deps", "--no-index", "--no-build-isolation")


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment that sees the dependencies of this one, but not the irstream in it."""

    folder: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def packages(self) -> Path:
        """Its folder for packages."""
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder)}))

    def install(self, *what: str) -> None:
        """Install with pip, without a network."""
        subprocess.run([*_PIP, "--python", self.python, "install", *_OFFLINE, *what], check=True, timeout=300)

    def see_dependencies(self) -> None:
        """A line of a .pth file adds a folder without reading the .pth files in it, so an editable install there is not seen."""
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *words: str, cwd: Path, env: Mapping[str, str] | None = None, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment (`irstream`, `python`) from a folder."""
        command = [str(self.folder / "bin" / words[0]), *words[1:]]
        return subprocess.run(command, cwd=cwd, env=clean(env), capture_output=True, text=True, timeout=timeout_s, check=False)


def clean(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment variables without those that lead to its own irstream."""
    return {name: value for name, value in os.environ.items() if name not in (VARIABLE, "PYTHONPATH")} | dict(changes or {})


def new_environment(folder: Path) -> Environment:
    """An empty virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=300)
    return Environment(folder)


def copy_of_the_sources(folder: Path) -> Path:
    """What is built, in a folder of its own: setuptools leaves files beside the sources, and takes them for the next build."""
    folder.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", *ROOT_FILES, "ray_config.yaml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def build_wheel(folder: Path) -> Path:
    """The wheel of the sources as they are."""
    sources = copy_of_the_sources(folder / "sources")
    subprocess.run([*_PIP, "wheel", *_OFFLINE, "--wheel-dir", str(folder), str(sources)], check=True, timeout=300)
    shutil.rmtree(sources)
    (wheel,) = folder.glob("*.whl")
    return wheel


def with_wheel(folder: Path, *wheels: Path) -> Environment:
    """An environment with these wheels, installed in this order."""
    made = new_environment(folder)
    for wheel in wheels:
        made.install(str(wheel))
    made.see_dependencies()
    return made


def fill_with_strangers(folder: Path, kind: str, names: Sequence[str] = PACKAGES) -> Path:
    """A working folder full of other people's files with our names; each says so when it is imported.

    Args:
        folder: made here.
        kind: `module` (models.py), `package` (models/__init__.py) or `folder` (models/ without any code).
        names: which of our names.
    """
    for name in names:
        if kind == "module":
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.py").write_text(f"raise RuntimeError('a stranger: {name}')\n")
        else:
            (folder / name).mkdir(parents=True)
            (folder / name / "weights.pt").touch()
        if kind == "package":
            (folder / name / "__init__.py").write_text(f"raise RuntimeError('a stranger: {name}')\n")
    return folder
