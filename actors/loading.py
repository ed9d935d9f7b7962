"""From settings to a network that is ready to compute on its device."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import torch
from torch import Tensor

from actors.settings import ModelActorSettings
from contracts.errors import SettingsError
from contracts.result import ModelRef
from models.devices import choose_device, suitable_dtype
from models.inference import InferenceModel, prepare
from models.interface import Task
from models.zoo import list_models, load_model

RawOutput = Tensor | tuple[Tensor, ...]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A network ready to compute on its device, and which weights it has (and, for classifiers, the labels of its columns)."""

    inference: InferenceModel
    ref: ModelRef
    class_names: tuple[str, ...]


def load(settings: ModelActorSettings, task: Task) -> LoadedModel:
    """Load the network of an actor.

    Raises:
        SettingsError: the name is unknown or of another task, weights are missing or damaged, the device is not there, a
            postprocessing value is unknown or out of range, flips are asked for of a network that is no segmenter, or there is no
            compiler.
    """
    device = choose_device(settings.device, "settings of a model actor, device", "Use auto or cpu, or give this process a GPU (num_gpus).")
    if settings.flips and task is not Task.SEGMENTATION:
        raise SettingsError(
            expected="false: a mean over flips is made of masks",
            got="true",
            where=f"settings of the {task} actor, flips",
            action="Remove it here; it is for the segmenter.",
        )
    if settings.compiled:
        _require_compiler(device, task)
    if settings.model not in list_models(task):
        raise SettingsError(
            expected=f"a {task} model: {', '.join(list_models(task))}",
            got=repr(settings.model),
            where=f"settings of the {task} actor, model",
            action="Use a registered name of this task (irstream models list).",
        )
    network, card = load_model(settings.model, settings.weights)
    try:
        network.configure(card.postprocess | settings.postprocess)
    except ValueError as error:
        raise SettingsError(
            expected=f"postprocessing values that {settings.model} knows ({', '.join(card.postprocess) or 'none'})",
            got=str(error),
            where=f"settings of the {task} actor, postprocess",
            action="Correct or remove the value; without it the model card's is used.",
        ) from error
    dtype = _DTYPES.get(settings.dtype) or suitable_dtype(device, card.bfloat16_iou_change)
    inference = prepare(network, device, dtype, compiled=settings.compiled, flips=settings.flips)
    return LoadedModel(inference, ModelRef(task.value, card.name, card.digest), card.classes)


def _require_compiler(device: torch.device, task: Task) -> None:
    """Say before the first frame what torch would say about a missing compiler after it."""
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise SettingsError(
            expected=f"a C++ compiler ({compiler}), which torch.compile needs on a CPU",
            got="none on the path",
            where=f"settings of the {task} actor, compiled",
            action="Install one (apt install g++), name it in CXX, or leave compiled out.",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """True when a smaller batch may cure this error: torch has no common class for host, device and library allocations."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(sign in text for sign in ("out of memory", "can't allocate memory", "ALLOC_FAILED"))


def require_finite(raw: RawOutput) -> None:
    """Refuse outputs that are not numbers: compared with a threshold they would silently mean "no target".

    Raises:
        FloatingPointError: an output holds NaN or infinity.
    """
    for tensor in (raw,) if isinstance(raw, Tensor) else raw:
        # One pass without a mask of the same size: a sum is finite only if all its terms are.
        if not torch.isfinite(tensor.sum(dtype=torch.float32)):
            raise FloatingPointError("expected finite network outputs, got NaN or infinity")
