"""Weights of a Kestrel without its texture branch: `python -m benchmarks.untextured kestrel_adaptive|kestrel_wide OUT.safetensors`.

What the branch answers to a frame of usual texture is a constant gain and offset for each channel of each stage. Gains move into the
convolution before, offsets into the norms behind. The network without the branch then gives the same logits, but for the border,
where a convolution pads with zeros before the offset and not behind it. The difference is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.commands import reports_mistakes
from models.interface import MetadataBatch
from models.segmentation.kestrel import AdaptiveKestrel, FineKestrel, Kestrel, LargeKestrel, WideKestrel
from models.weights import save_weights
from models.zoo import load_model

WITHOUT: Mapping[str, type[Kestrel]] = {"kestrel_adaptive": FineKestrel, "kestrel_wide": LargeKestrel}
_NORM_EPS = 1e-5
_CHECK_PX, _BORDER_PX = 640, 304


class _Weights:
    """Weights that take up gains and offsets."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = {name: value.clone() for name, value in state.items()}

    def scale_answer(self, conv: str, gain_C: Tensor) -> None:
        """Let a re-parameterised convolution answer `gain` times as much; gains are above 0, so its ReLU does not mind."""
        if not bool((gain_C > 0).all()):
            raise ValueError(f"expected gains above 0 behind {conv}, got {float(gain_C.min()):.3f}: a ReLU would cut elsewhere")
        for branch in ("wide.1", "point.1", "same"):
            for part in ("weight", "bias"):
                name = f"{conv}.{branch}.{part}"
                if name in self.state:
                    self.state[name] *= gain_C

    def take_in(self, conv: str, offset_C: Tensor, gain_C: Tensor | None = None) -> None:
        """Let a re-parameterised convolution read `gain * map + offset` where it is given the map."""
        gain_C = torch.ones_like(offset_C) if gain_C is None else gain_C
        for branch in ("wide", "point"):
            weight = self.state[f"{conv}.{branch}.0.weight"]
            self.state[f"{conv}.{branch}.1.running_mean"] -= weight.sum((2, 3)) @ offset_C
            self.state[f"{conv}.{branch}.0.weight"] = weight * gain_C[None, :, None, None]
        if f"{conv}.same.weight" in self.state:
            mean, variance = f"{conv}.same.running_mean", f"{conv}.same.running_var"
            self.state[mean] = (self.state[mean] - offset_C) / gain_C
            self.state[variance] = (self.state[variance] + _NORM_EPS) / gain_C**2 - _NORM_EPS

    def take_in_point(self, layer: str, offset_C: Tensor) -> None:
        """The same for a point convolution with a norm behind it."""
        self.state[f"{layer}.1.running_mean"] -= self.state[f"{layer}.0.weight"][:, :, 0, 0] @ offset_C

    def take_in_head(self, head: str, offset_C: Tensor) -> None:
        """The same for a point convolution with a bias."""
        self.state[f"{head}.bias"] += self.state[f"{head}.weight"][:, :, 0, 0] @ offset_C


def without_texture(network: AdaptiveKestrel) -> dict[str, Tensor]:
    """Weights of the same network without the branch, as it answers where the texture is usual."""
    adapted = network.adapted
    both = adapted.out.bias + adapted.out.weight @ torch.relu(adapted.hidden.bias)
    parts = dict(zip(adapted.channels, torch.split(both.detach(), [2 * num for num in adapted.channels.values()]), strict=True))
    gain = {stage: 1 + part.chunk(2)[0] for stage, part in parts.items()}
    offset = {stage: part.chunk(2)[1] for stage, part in parts.items()}
    weights = _Weights({name: value for name, value in network.state_dict().items() if not name.startswith("adapted.")})
    ends = {"half": network.half_size, "quarter": network.quarter, "eighth": network.eighth}
    names = {"half": "half_size", "quarter": "quarter", "eighth": "eighth"}
    last = {stage: f"{names[stage]}.{len(layers) - 1}" for stage, layers in ends.items()}
    mixes = f"ups.1.mix.{network.plan.num_mixes - 1}"
    for stage, conv in {"full": "stem", "deep": "ups.0.mix.0", "fine": mixes, **last}.items():
        weights.scale_answer(conv, gain[stage])
    weights.take_in("half_size.0", offset["full"].repeat_interleave(4))
    weights.take_in("quarter.0", offset["half"])
    weights.take_in("eighth.0", offset["quarter"])
    weights.take_in_point("ups.0.narrow", offset["eighth"])
    weights.take_in("ups.0.mix.0", offset["quarter"])
    weights.take_in_point("ups.1.narrow", offset["deep"])
    weights.take_in("ups.1.mix.0", offset["half"])
    weights.take_in_point("widen", offset["fine"])
    weights.take_in_head("side_heads.0", offset["fine"])
    weights.take_in_head("side_heads.1", offset["deep"])
    weights.take_in("refine.0", gain["answer"] * offset["full"] + offset["answer"], gain["answer"])
    return weights.state


@torch.no_grad()
def difference(network: AdaptiveKestrel, other: Kestrel) -> float:
    """Largest difference of the logits inside a frame of noise, with the texture told as usual."""
    pixels_B1HW = torch.randn(1, 1, _CHECK_PX, _CHECK_PX, generator=torch.Generator().manual_seed(0))
    metadata = MetadataBatch.unknown((_CHECK_PX, _CHECK_PX))
    usual = network.adapted.texture.register_forward_hook(lambda *_: torch.zeros(1, network.adapted.hidden.in_features))
    logits = [each.eval()(pixels_B1HW, metadata)[..., _BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] for each in (network, other)]
    usual.remove()
    return float((logits[0] - logits[1]).abs().max())


@reports_mistakes
def main() -> None:
    """Write the weights and say how far the logits differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(WITHOUT))
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    network, _ = load_model(arguments.name)
    assert isinstance(network, AdaptiveKestrel | WideKestrel)
    other = WITHOUT[arguments.name]()
    other.load_state_dict(without_texture(network.float()))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(other, arguments.out)
    print(f"{arguments.out}: largest difference of a logit inside a frame {difference(network, other):.1e}")


if __name__ == "__main__":
    main()
