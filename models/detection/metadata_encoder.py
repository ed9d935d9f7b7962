"""Platform, band and size of a frame, and the details that deep layers lost, as one vector a frame.

Source: AuxDet, arXiv:2505.15184, section 3.2, eq. 1 to 7, as large as its released code: there the difference between layers is pooled
before its MLP, and one encoder serves all levels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.frame import Band, Platform
from models.interface import BANDS, PLATFORMS, MetadataBatch

PAPER_BANDS = (Band.LWIR, Band.NIR, Band.SWIR)
_KNOWN_PLATFORMS = (Platform.AIR, Platform.SPACE, Platform.LAND)
_SIZE_PX = 2048.0
_WIDTH = 32
WIDTH = 4 * _WIDTH
"""Numbers that a frame becomes."""


class FewSamplesNorm(nn.BatchNorm1d):
    """Batch norm that uses its running statistics for a single sample, of which there is no variance.

    What it knows of one camera only has next to no variance either, so that a second camera would be amplified without bounds:
    the least variance is 0.01, not 0.00001.
    """

    def __init__(self, width: int) -> None:
        """Build."""
        super().__init__(width, eps=1e-2)

    def forward(self, x_BC: Tensor) -> Tensor:
        """`(B, C)` to the same."""
        if self.training and len(x_BC) == 1:
            return functional.batch_norm(x_BC, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x_BC)


class ResidualLayer(nn.Module):
    """Two linear layers around a shortcut, with dropout between them (eq. 4 and 7)."""

    def __init__(self, width: int) -> None:
        """Build."""
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, width), nn.ReLU())

    def forward(self, x_BC: Tensor) -> Tensor:
        """`(B, width)` to the same."""
        return x_BC + self.body(x_BC)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def _projection(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, _WIDTH), nn.ReLU(), FewSamplesNorm(_WIDTH))


class MetadataEncoder(nn.Module):
    """Vectors of frames; unknown platforms, bands and sizes are zeros."""

    def __init__(self, channels: int, bands: tuple[Band, ...] = PAPER_BANDS) -> None:
        """Build.

        Args:
            channels: of the maps.
            bands: those that have a column; the paper has no MWIR, which then counts as unknown.
        """
        super().__init__()
        self.platform = _projection(len(_KNOWN_PLATFORMS))
        self.band = _projection(len(bands))
        self.size = _projection(6)
        self.known = ResidualLayer(3 * _WIDTH)
        self.lost = _projection(channels)
        self.fusion = nn.Sequential(*(ResidualLayer(WIDTH) for _ in range(3)))
        self._platforms = tuple(PLATFORMS.index(each) for each in _KNOWN_PLATFORMS)
        self._bands = tuple(BANDS.index(each) for each in bands)

    def of_metadata(self, metadata: MetadataBatch) -> Tensor:
        """Vectors of what is known, `(B, 96)`."""
        parts = (
            self.platform(_one_of(metadata.platform_B, self._platforms)),
            self.band(_one_of(metadata.band_B, self._bands)),
            self.size(_size_waves(metadata.size_px_B2)),
        )
        return self.known(torch.cat(parts, 1))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any

    def forward(self, known_BK: Tensor, lost_BC: Tensor) -> Tensor:
        """Vectors of what is known (`of_metadata`), and mean differences of a shallow and a deep map `(B, channels)`, to `(B, 128)`."""
        return self.fusion(torch.cat([known_BK, self.lost(lost_BC)], 1))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def _one_of(index_B: Tensor, columns: tuple[int, ...]) -> Tensor:
    """`(B, len(columns))` float32: 1 in the column of the index, nothing for an index that has none."""
    return (index_B[:, None] == torch.tensor(columns, device=index_B.device)).float()


def _size_waves(size_px_B2: Tensor) -> Tensor:
    """Sine and cosine of width, height (of 2048 px) and their ratio (eq. 3); zeros where the size is not known."""
    height_B, width_B = size_px_B2.float().unbind(1)
    angle_B3 = torch.stack([width_B / _SIZE_PX, height_B / _SIZE_PX, width_B / height_B.clamp(min=1)], 1)
    is_known_B1 = (size_px_B2 > 0).all(1, keepdim=True)
    return torch.cat([angle_B3.sin(), angle_B3.cos()], 1) * is_known_B1
