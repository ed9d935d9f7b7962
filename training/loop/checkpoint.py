"""Everything a training needs to go on after a kill, in one file that is replaced whole."""

from __future__ import annotations

import fcntl
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contracts.errors import SettingsError
from training.loop.identity import Identity, require_same
from training.loop.settings import Progress

FILE = "checkpoint.pt"
VERSION = 2
"""Of what is in the file; 1 did not hold the state of chance."""


@dataclass(slots=True)
class Checkpoint:
    """Contents of a checkpoint.

    Attributes:
        model: trained in place.
        average: exponential moving average of its weights.
        optimiser: its state.
        best: averaged weights that held-out images liked best; None without a validation.
        result: weights that a training that is over hands on; None before.
        identity: which training this is (`training.loop.identity`); empty where nobody says.
        calibration_batches: the averaged weights are handed on with norms calibrated on so many batches; 0: as they are.
    """

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    best: dict[str, Tensor] | None = None
    result: dict[str, Tensor] | None = None
    identity: Identity = field(default_factory=dict)
    calibration_batches: int = 0

    def save(self, folder: Path, progress: Progress) -> None:
        """Replace the file."""
        folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = asdict(progress) | {
            "version": VERSION,
            "chance": _state_of_chance(),
            "identity": dict(self.identity),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "result": self.result,
            "calibration_batches": self.calibration_batches,
        }
        partial = folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(folder / FILE)

    def resume(self, folder: Path) -> Progress:
        """Go on from the file, with the state of chance it was saved with; at the beginning where there is none.

        Raises:
            SettingsError: the file cannot be read, or it is of another training, another network or an older version; nothing is
                loaded then.
        """
        path = folder / FILE
        if not path.is_file():
            return Progress()
        state = read_checkpoint(path, ("model", "average", "optimiser", "steps", "spent_s"))
        _require_version(state, path)
        require_same(state.get("identity") or {}, self.identity, path)
        best = state.get("best")
        for tensors in (state["model"], state["average"], *([] if best is None else [best])):
            require_fit(self.model, tensors, path)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self._resume_optimiser(state["optimiser"], path)
        self.best = best
        _restore_chance(state["chance"])
        return _progress_in(state)

    def _resume_optimiser(self, state: dict[str, Any], path: Path) -> None:
        try:
            self.optimiser.load_state_dict(state)
            for parameter, kept in self.optimiser.state.items():
                for tensor in kept.values():
                    if isinstance(tensor, Tensor) and tensor.ndim and tensor.shape != parameter.shape:
                        raise ValueError(f"a state of shape {tuple(tensor.shape)} for weights of shape {tuple(parameter.shape)}")
        except (ValueError, KeyError) as error:
            raise SettingsError(
                expected="the state of this training's optimiser",
                got=str(error) or type(error).__name__,
                where=str(path),
                action="Name another `folder`, or train with the optimiser of before.",
            ) from error


def _state_of_chance() -> dict[str, Any]:
    """Of torch: batches need none, each has a seed of its own (`training.data.batches`)."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": gpus}


def _restore_chance(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def _require_version(state: Mapping[str, Any], path: Path) -> None:
    if state.get("version") != VERSION:
        raise SettingsError(
            expected=f"a checkpoint of form {VERSION}",
            got=f"one of form {state.get('version', 1)}, of another version of irstream",
            where=str(path),
            action="Finish that training with the version it was begun with, or name another `folder` to begin again.",
        )


def require_writable(folder: Path) -> None:
    """Make a folder, and prove with an empty file that one can be written into it.

    Raises:
        SettingsError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            expected="a folder that can be written", got=str(error), where=str(folder), action="Name another `folder`."
        ) from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder; the kernel lets go however this one ends.

    Raises:
        SettingsError: another one trains there.
    """
    with (folder / ".lock").open("a") as handle:
        try:
            # Not `flock`: processes that draw crops would inherit that.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                expected="a folder in which nothing else is being trained",
                got="a training that is running",
                where=str(folder),
                action="Wait for it or stop it (Ctrl-C keeps what it has), or name another `folder`.",
            ) from error
        yield


def read_checkpoint(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """Contents of a checkpoint file, on the CPU.

    Args:
        path: the file, which is there.
        needed: keys without which it is no checkpoint.

    Raises:
        SettingsError: it is cut off, damaged, or something else.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        missing = [key for key in needed if key not in state]
        why = f"without {', '.join(missing)}" if missing else ""
    except PermissionError as error:
        raise SettingsError(
            expected="a checkpoint", got=str(error), where=str(path), action="Make it readable, or name another `folder`."
        ) from error
    except (EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    if why:
        raise SettingsError(
            expected="a checkpoint", got=f"a file that cannot be read: {why}", where=str(path), action="Delete it to begin again."
        )
    return dict(state)


def require_fit(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are not this network's.

    Raises:
        SettingsError: names or shapes differ; the text names the first.
    """
    own = model.state_dict()
    wrong = [f"no {name}" for name in own if name not in tensors]
    wrong += [f"{name}, which it does not have" for name in tensors if name not in own]
    wrong += [
        f"{name} of shape {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more" if wrong[1:] else ""
        raise SettingsError(
            expected=f"weights of the network {getattr(model, 'name', type(model).__name__)}",
            got=f"those of another one: {wrong[0]}{more}",
            where=str(path),
            action="Name the network that was trained there, or another `folder`.",
        )


def progress_of(folder: Path, identity: Identity | None = None) -> Progress:
    """Progress of the training in a folder; at the beginning where there is no checkpoint.

    Raises:
        SettingsError: the checkpoint cannot be read, or is of another training than `identity`, or of an older version.
    """
    path = folder / FILE
    if not path.is_file():
        return Progress()
    state = read_checkpoint(path, ("steps",))
    if identity is not None:
        _require_version(state, path)
    require_same(state.get("identity") or {}, identity or {}, path)
    return _progress_in(state)


def steps_done(folder: Path) -> int:
    """Steps of the checkpoint in a folder, 0 where there is none.

    Raises:
        SettingsError: it cannot be read.
    """
    return progress_of(folder).steps


def _progress_in(state: Mapping[str, Any]) -> Progress:
    return Progress(**{each.name: state[each.name] for each in fields(Progress) if each.name in state})
