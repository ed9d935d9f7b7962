"""Cost of a network: parameters, multiply-adds, milliseconds."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.folding import fold_batch_norms
from models.inference import InferenceModel
from models.interface import MetadataBatch
from models.shapes import FlopsOfShapes
from models.zoo import AnyModel, create_model

FRAME_PX = 256
SKETCHES = Path(__file__).with_name("sketches.json")  # a test holds each against its network, and writes them: UPDATE_PINNED=1
_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Sketch:
    """A network before it has weights.

    Attributes:
        name: registered name.
        task: which of the three.
        paper: where it is from.
        parameters: all of them.
        gmacs: multiply-adds (1e9) for one input of `input_px` squared.
        input_px: 256, or the fixed side of a classifier's crop.
    """

    name: str
    task: str
    paper: str
    parameters: int
    gmacs: float
    input_px: int


def sketch(name: str) -> Sketch:
    """Size and cost of a registered network: of ours as written down in `SKETCHES`, of others counted.

    Raises:
        SettingsError: there is none of this name.
    """
    return _written().get(name) or counted(name)


@lru_cache
def _written() -> dict[str, Sketch]:
    return {each["name"]: Sketch(**each) for each in json.loads(SKETCHES.read_text(encoding="utf-8"))}


@lru_cache
def counted(name: str) -> Sketch:
    """As `sketch`, of the network itself; nothing is allocated and nothing computed (torch's meta device), yet dozens take ten seconds.

    Raises:
        SettingsError: there is none of this name.
    """
    with torch.device("meta"):
        model = create_model(name)
    side_px = model.input_spec.fixed_size_px or FRAME_PX
    try:
        cost = _shapes_alone(model, side_px)
    except (NotImplementedError, RuntimeError):
        cost = gmacs(create_model(name), side_px)
    return Sketch(name, str(model.task), model.paper, num_parameters(model), round(cost, 6), side_px)


def num_parameters(model: AnyModel) -> int:
    """All of them, also those that do not learn."""
    return sum(parameter.numel() for parameter in model.parameters())


def gmacs(model: AnyModel, side_px: int = FRAME_PX) -> float:
    """Multiply-adds (1e9) for one square input: torch's counts of convolutions and matrix products divided by two.

    Counted of what runs in inference, where branches of re-parameterised convolutions (`RepConv`) are one. Only shapes are worked
    out (`models.shapes`); a network that looks at its pixels to decide what to compute is run on an empty frame.
    """
    try:
        return _shapes_alone(model, side_px)
    except (NotImplementedError, RuntimeError):  # what torch raises where the meta device has no values to look at
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            fold_batch_norms(deepcopy(model).eval())(
                torch.zeros(1, 1, side_px, side_px, device=next(chain(model.parameters(), model.buffers())).device),
                MetadataBatch.unknown((side_px, side_px)),
            )
        return float(counter.get_total_flops()) / 2e9


def _shapes_alone(model: AnyModel, side_px: int) -> float:
    bare = deepcopy(model).eval().to("meta")
    with torch.device("meta"), torch.no_grad(), FlopsOfShapes() as counter:  # type: ignore[no-untyped-call]  # torch has no types there
        bare(torch.zeros(1, 1, side_px, side_px), MetadataBatch.unknown((side_px, side_px)))
    return float(counter.total) / 2e9


def latencies_ms(models: Sequence[InferenceModel], side_px: int = FRAME_PX, batch_size: int = 1, rounds: int = 20) -> list[list[float]]:
    """Milliseconds of single forward passes of a batch, of each network, rising.

    After warm-up; with the copy to the device and its end awaited. The networks take turns: a machine that others use too is
    slower at times, and then for all of them.
    """
    pixels = torch.randn(batch_size, 1, side_px, side_px, generator=torch.Generator().manual_seed(0))
    metadata = MetadataBatch.unknown((side_px, side_px), batch_size)
    times: list[list[float]] = [[] for _ in models]
    for number in range(_WARM_UP + rounds):
        for index, model in enumerate(models):
            took_ms = _pass_ms(model, pixels, metadata)
            if number >= _WARM_UP:
                times[index].append(took_ms)
    return [sorted(each) for each in times]


def _pass_ms(model: InferenceModel, pixels_B1HW: Tensor, metadata: MetadataBatch) -> float:
    began = time.perf_counter()
    model.forward(pixels_B1HW, metadata)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return (time.perf_counter() - began) * 1e3
