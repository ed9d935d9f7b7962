"""Where a Python process of irstream finds the root packages: in one folder, whatever else has one of their names.

Python takes the first `models` on `sys.path`, and Ray's workers begin that path with the folder the driver was started from: a `models.py`
there, or another installed package called `models`, would stand before ours. So a process of irstream asks a finder of its own first.
`pin` puts it in place: in the command `irstream`, in every process that imports `deploy`, and in every Python process that is started with
`IRSTREAM_PACKAGES` in its environment (`irstream.pth` does that; Ray's workers inherit the variable from the driver, or from
`runtime_env` in a Serve config). Other processes of the same Python environment notice nothing.

The standard library only, and little of it: this file is imported before everything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PACKAGES = ("contracts", "observability", "models", "synthetic", "evaluation", "actors", "pipeline", "training", "deploy")
VARIABLE = "IRSTREAM_PACKAGES"
INSTALLED = "installed"
_DISTRIBUTION = "irstream"
HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is not loaded when a process starts
_started = False


class MissingPackageError(ImportError):
    """The folder that holds ours lacks one of them."""


class PinnedFinder:
    """Finds the root packages of irstream in one folder; everything else is left to the finders behind it."""

    def __init__(self, folder: str) -> None:
        """Keep the folder that holds `PACKAGES`."""
        self.folder = folder

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find one root package (Python's protocol of finders).

        Raises:
            MissingPackageError: the folder has lost it.
        """
        if name not in PACKAGES:
            return None
        spec = PathFinder.find_spec(name, [self.folder])
        if spec is None or spec.origin is None:
            file = os.path.join(self.folder, name, "__init__.py")  # noqa: PTH118
            raise MissingPackageError(f"{file}: expected a package of irstream, got no such file. Install irstream again.", name=name)
        return spec


def start() -> None:
    """Called by `irstream.pth`, before anything else runs in a process that has `IRSTREAM_PACKAGES` in its environment."""
    global _started
    _started = True
    named = os.environ.get(VARIABLE, INSTALLED)
    pin(HERE if named == INSTALLED else named)


def pin(folder: str) -> None:
    """Import the root packages from one folder only, in this process and in the Python processes started from it.

    Args:
        folder: holds `PACKAGES`.

    Raises:
        ImportError: this process has already imported somebody else's package of one of the names.
    """
    sys.meta_path[:] = [PinnedFinder(folder), *(finder for finder in sys.meta_path if not isinstance(finder, PinnedFinder))]
    os.environ[VARIABLE] = folder
    for name in PACKAGES:
        module = sys.modules.get(name)
        if module is not None and not _is_in(folder, _place(module)):
            raise ImportError(
                f"{_place(module)}: expected {os.path.join(folder, name)} under the name `{name}`, "  # noqa: PTH118
                "got this file, which the same process had imported before. Rename it, or run irstream in a process of its own.",
                name=name,
            )


def _place(module: ModuleType) -> str:
    """The file of a module, or the folder of a package without one."""
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "no file")


def _is_in(folder: str, file: str) -> bool:
    return os.path.realpath(file).startswith(os.path.join(os.path.realpath(folder), ""))  # noqa: PTH118


def started_pinned() -> bool:
    """Whether this process was pinned from its start on, and with it the workers that share its environment variables."""
    return _started


def start_file_is_installed() -> bool:
    """Whether Python processes of this environment heed `IRSTREAM_PACKAGES`; not so where irstream is only on PYTHONPATH."""
    import site

    folders = [*site.getsitepackages(), site.getusersitepackages()]
    return any(os.path.isfile(os.path.join(folder, f"{_DISTRIBUTION}.pth")) for folder in folders)  # noqa: PTH113, PTH118


def strangers(path: Sequence[str], folder: str) -> Iterator[tuple[str, str]]:
    """What a process that is not pinned would import instead of ours.

    Args:
        path: where it looks, in order.
        folder: holds ours.

    Yields:
        our file, and the other one.
    """
    for name in PACKAGES:
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None and not _is_in(folder, spec.origin):
            yield os.path.join(folder, name, "__init__.py"), spec.origin  # noqa: PTH118


def replaced() -> Iterator[tuple[str, str]]:
    """Files of ours that another distribution, installed later into the same folder, has written over or removed.

    Yields:
        the file, and the distribution that has a file of this name (`name version`).
    """
    from base64 import urlsafe_b64encode
    from hashlib import sha256
    from importlib import metadata
    from pathlib import Path

    try:
        ours = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return
    for file in ours.files or ():
        if file.suffix != ".py" or file.parts[0] not in PACKAGES or file.hash is None:
            continue
        try:
            digest = sha256(Path(file.locate()).read_bytes()).digest()
        except OSError:
            digest = b""
        if urlsafe_b64encode(digest).decode().rstrip("=") != file.hash.value:
            for other in metadata.distributions():
                if other.name != _DISTRIBUTION and file in (other.files or ()):
                    yield str(file.locate()), f"{other.name} {other.version}"


def advice(error: BaseException | None = None) -> str | None:
    """One message for a person on packages of ours that are not ours any more; None where all are.

    Args:
        error: what came of it, if anything.
    """
    if isinstance(error, MissingPackageError):
        return str(error)
    found = next(replaced(), None)
    if found is None:
        return None
    file, owner = found
    return (
        f"{file}: expected the file of irstream, got the one of {owner}, which was installed into the same folder under the same name. "
        f"Install the two into environments of their own: pip uninstall {owner.split()[0]}, then irstream again."
    )
