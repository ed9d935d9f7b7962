"""Platform, band and size of a frame, as an offset and a gain of each channel of one map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.frame import Band, Platform
from models.interface import BANDS, PLATFORMS, MetadataBatch

_WIDTH = 32
_SIZE_PX = 640.0
_UNKNOWN_PLATFORM, _UNKNOWN_BAND = PLATFORMS.index(Platform.UNKNOWN), BANDS.index(Band.UNKNOWN)


class LightMetadata(nn.Module):
    """Scales and shifts a map by what is known of its frame; begins as the identity.

    The vectors of unknown words are zeros, and what is not known adds nothing. Layer norms take each frame by itself: the answer does
    not depend on what else is in a batch. Ours; scale and shift by channel are FiLM's (Perez et al. 2018, arXiv:1709.07871).
    """

    def __init__(self, channels: int) -> None:
        """Build for a map of some channels."""
        super().__init__()
        self.platform = nn.Embedding(len(PLATFORMS), _WIDTH)
        self.band = nn.Embedding(len(BANDS), _WIDTH)
        self.size = nn.Linear(2, _WIDTH, bias=False)
        self.mix = nn.Sequential(nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.LayerNorm(_WIDTH))
        self.gains = nn.Linear(_WIDTH, 2 * channels)
        nn.init.zeros_(self.gains.weight)
        nn.init.zeros_(self.gains.bias)

    def forward(self, x_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """The map, `(B, channels, H, W)`, scaled and shifted."""
        platform_BD = self.platform(metadata.platform_B) * (metadata.platform_B != _UNKNOWN_PLATFORM)[:, None]
        band_BD = self.band(metadata.band_B) * (metadata.band_B != _UNKNOWN_BAND)[:, None]
        logs_B2 = (metadata.size_px_B2.float().clamp(min=1) / _SIZE_PX).log() * (metadata.size_px_B2 > 0)
        known_BD = self.mix(platform_BD + band_BD + self.size(logs_B2))
        gain_BC, shift_BC = self.gains(known_BD).chunk(2, 1)
        return functional.relu(torch.addcmul(x_BCHW + shift_BC[:, :, None, None], x_BCHW, gain_BC[:, :, None, None]))
