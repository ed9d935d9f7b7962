"""Texture of frames, and maps scaled by it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.interface import MetadataBatch
from models.layers.texture import BLOCK_PX, Texture, TextureAdaptation
from models.segmentation.kestrel import AdaptiveKestrel
from models.zoo import create_model


def frames(num: int = 2, side_px: int = 64, seed: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (num, 1, side_px, side_px)).astype(np.float32))


def by_hand(frame_HW: np.ndarray) -> np.ndarray:
    """The same with OpenCV's cosine transform, block by block."""
    logs = []
    for top in range(0, frame_HW.shape[0], BLOCK_PX):
        for left in range(0, frame_HW.shape[1], BLOCK_PX):
            energies = cv2.dct(frame_HW[top : top + BLOCK_PX, left : left + BLOCK_PX]).ravel()[1:] ** 2
            if energies.sum() > 1e-5:
                logs.append(np.log(energies + 1e-4))
    return np.concatenate([np.mean(logs, 0), np.sqrt(np.var(logs, 0) + 1e-4)])


def test_texture_is_the_mean_and_spread_of_the_logarithms_of_a_cosine_transform() -> None:
    texture = Texture().eval()
    texture.variance.fill_(16.0)  # nothing reaches the four deviations at which it ends
    both = frames()
    for frame, told in zip(both, texture(both), strict=True):
        np.testing.assert_allclose(told.numpy() * 4, by_hand(frame[0].numpy()), rtol=1e-4, atol=1e-4)


def test_flat_places_say_nothing() -> None:
    texture = Texture().eval()
    texture.variance.fill_(16.0)
    whole = frames(1)
    padded = torch.zeros(1, 1, 96, 80)
    padded[..., :64, :64] = whole
    torch.testing.assert_close(texture(padded), texture(whole))
    assert texture(torch.zeros(1, 1, 16, 16)).isfinite().all()


def test_texture_does_not_depend_on_where_blocks_lie_or_how_bright_they_are() -> None:
    texture = Texture().eval()
    frame = frames(1)
    moved = frame.roll((BLOCK_PX, 3 * BLOCK_PX), (2, 3)) + 0.7
    torch.testing.assert_close(texture(moved), texture(frame), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(texture(frame * 3), texture(frame), atol=0.1)


def test_what_is_usual_is_learnt_in_training_only_and_each_answer_is_its_own() -> None:
    texture = Texture().train()
    for seed in range(60):
        texture(frames(4, seed=seed))
    usual = texture.usual.clone()
    texture(frames(8, seed=70))
    assert not torch.equal(texture.usual, usual)
    texture.eval()
    assert float(texture(frames(8, seed=71)).mean().abs()) < 0.2  # the same kind of frames: around 0
    usual = texture.usual.clone()
    both = frames(2)
    together = texture(torch.cat([both, 5 * both]))
    torch.testing.assert_close(together[:2], texture(both))
    assert torch.equal(texture.usual, usual)


def test_a_fifth_of_what_is_learnt_from_goes_without_its_texture() -> None:
    torch.manual_seed(1)
    texture = Texture().train()
    for _ in range(4):
        told = texture(frames(250)).abs().sum(1) > 0
    assert 0.7 < float(told.float().mean()) < 0.9
    assert bool((texture.eval()(frames(250)).abs().sum(1) > 0).all())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_stages_are_scaled_by_the_texture_of_their_own_frame(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    adaptation = TextureAdaptation({"wide": 6, "thin": 2}).eval()
    pixels, maps = frames(2), torch.ones(2, 6, 5, 5, dtype=precision)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        adapt = adaptation(pixels)
        adapted = adapt("wide", maps).detach()
    assert adapted.dtype == precision
    assert adapted.shape == maps.shape
    assert float((adapted[0] - adapted[1]).abs().max()) > 1e-3  # each frame has gains of its own
    assert torch.equal(adapted[:, :, 0, 0], adapted[:, :, 4, 4])  # the same all over a map
    # By hand: gain and offset of channel c of the first stage are outputs c and 6 + c.
    out = adaptation.out(adaptation.hidden(adaptation.texture(pixels)).relu())
    expected = 1 + out[:, :6] + out[:, 6:12]
    torch.testing.assert_close(adapted[:, :, 0, 0].float(), expected, atol=2e-2 if precision is torch.bfloat16 else 1e-5, rtol=0)
    assert adapt("thin", torch.ones(2, 2, 3, 3, dtype=precision)).shape == (2, 2, 3, 3)


@pytest.mark.parametrize("name", ["kestrel_adaptive", "kestrel_wide"])
def test_every_stage_of_kestrel_is_scaled(name: str) -> None:
    torch.manual_seed(4)
    network = create_model(name).eval()
    assert isinstance(network, AdaptiveKestrel)
    pixels, metadata, out = frames(1, 64), MetadataBatch.unknown((64, 64)), network.adapted.out
    nn.init.zeros_(out.weight)
    with torch.no_grad():
        before = network(pixels, metadata)
        row = 0
        for stage, num in network.adapted.channels.items():
            out.bias[row : row + num] = 0.5
            assert not torch.allclose(network(pixels, metadata), before, atol=1e-4), stage
            out.bias.zero_()
            row += 2 * num
        assert row == len(out.bias)
        torch.testing.assert_close(network(pixels, metadata), before)


def test_what_is_usual_is_the_mean_of_the_first_batches() -> None:
    texture, generator = Texture().train(), torch.Generator().manual_seed(4)
    batches = [torch.randn(3, 1, 32, 32, generator=generator) * (1 + number) for number in range(3)]
    means = [texture._measure(batch).mean(0) for batch in batches]
    for batch in batches:
        texture(batch)
    torch.testing.assert_close(texture.usual, torch.stack(means).mean(0))
