"""Weights on disk: safetensors only, in half precision, checked by digest (nothing that can run code is ever loaded)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from contracts.errors import SettingsError

WEIGHTS_FOLDER = Path(__file__).with_name("weights")


def digest_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_weights(model: nn.Module, path: Path) -> str:
    """Write all parameters and buffers; floats become half precision, which halves the file.

    Batch-norm statistics stay float32: a variance may lie outside the range of half precision.

    Returns:
        The digest of the file.
    """
    state = {name: _stored(name, tensor) for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    path.write_bytes(safetensors.torch.save(state))
    return digest_of(path)


def _stored(name: str, tensor: Tensor) -> Tensor:
    keep = not tensor.is_floating_point() or "running_" in name
    return (tensor if keep else tensor.half()).detach().cpu().contiguous()


def load_weights(model: nn.Module, path: Path) -> None:
    """Read weights into a model as float32.

    Raises:
        SettingsError: file missing, not safetensors, or of another network.
    """
    try:
        stored = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _unusable(path, "a readable safetensors file", str(error)) from error
    floats = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in stored.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    got = {name: tuple(tensor.shape) for name, tensor in floats.items()}
    wrong = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
    if wrong:
        detail = ", ".join(f"{name}: {wanted.get(name)} != {got.get(name)}" for name in wrong[:3])
        raise _unusable(path, f"the tensors of {type(model).__name__}", f"{len(wrong)} that differ ({detail})")
    model.load_state_dict(floats, strict=False)


def _unusable(path: Path, expected: str, got: str) -> SettingsError:
    return SettingsError(expected=expected, got=got, where=f"weights {path}", action="Name the safetensors file of a registered network.")
