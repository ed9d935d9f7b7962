"""Several networks as one: the mean of their logits, also when it is prepared for inference."""

from __future__ import annotations

import pytest
import torch

from models.ensemble import ensemble_of, joined_state
from models.inference import prepare
from models.interface import MetadataBatch
from models.zoo import create_model


@pytest.mark.parametrize(("name", "side_px"), [("acm", 64), ("basic_cnn", 32)])
def test_the_answer_is_the_mean_of_the_logits(name: str, side_px: int) -> None:
    torch.manual_seed(2)
    networks = [create_model(name).eval() for _ in range(3)]
    ensemble = ensemble_of(type(networks[0]), 3)().eval()
    ensemble.load_state_dict(joined_state([network.state_dict() for network in networks]))
    side_px = ensemble.input_spec.fixed_size_px or side_px
    pixels_B1HW, metadata = torch.randn(2, 1, side_px, side_px), MetadataBatch.unknown((side_px, side_px), 2)
    with torch.no_grad():
        alone = [network(pixels_B1HW, metadata) for network in networks]
        firsts = [raw if isinstance(raw, torch.Tensor) else raw[0] for raw in alone]
        mean = torch.stack(firsts).mean(0)
        torch.testing.assert_close(ensemble(pixels_B1HW, metadata), mean)
    assert not torch.allclose(mean, firsts[0], atol=1e-3)
    prepared = prepare(ensemble).forward(pixels_B1HW, metadata)
    torch.testing.assert_close(prepared, mean, atol=1e-3, rtol=1e-3)
    assert (ensemble.name, ensemble.class_names, ensemble.task) == (name, networks[0].class_names, networks[0].task)


def test_boxes_have_no_mean() -> None:
    with pytest.raises(ValueError, match="masks or classes"):
        ensemble_of(type(create_model("fcos_light")), 2)
