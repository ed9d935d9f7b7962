"""AuxDet's modules on a map: modulation by a vector of the frame (M2DM with PSCM and PSSM), and edges (LEEM).

Source: AuxDet, arXiv:2505.15184, sections 3.3 and 3.4, eq. 8 to 18, as large as its released code. The paper and that code differ:

- kernels of the spatial modulation are parameters of the loss in the paper, and detached from it in the code, where they stay as
  random as they began (`learns_kernels`);
- edge kernels begin channel by channel in the paper (eq. 16), and as the same sum of all channels in the code: here as in the paper;
- the code weighs edges by a gate that the vector decides, of which the paper says nothing: it is here, for its size's sake.

Beyond its border a map goes on as it ends: the border is no edge.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detection.metadata_encoder import WIDTH

_NARROW = 32
_KERNELS = 2
_NEIGHBOURS = 4
_LEAST_VARIANCE = 1e-5


class DynamicLayer(nn.Module):
    """Linear layer whose weights a vector decides, sample by sample, then layer norm and ReLU.

    Source: Yang et al., "Dynamic MLP", CVPR 2022, arXiv:2203.03253, version A.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build."""
        super().__init__()
        self.weights = nn.Linear(WIDTH, inputs * outputs)
        self.norm = nn.LayerNorm(outputs)
        self._shape = (inputs, outputs)

    def forward(self, x_BI: Tensor, aux_BA: Tensor) -> Tensor:
        """`(B, inputs)` to `(B, outputs)`."""
        weights_BIO = self.weights(aux_BA).view(-1, *self._shape)
        y_BO: Tensor = self.norm(torch.bmm(x_BI[:, None], weights_BIO)[:, 0])
        return functional.relu(y_BO)


class Modulation(nn.Module):
    """M2DM: gains of channels (PSCM) and of places (PSSM) of a map, from what is on it and a vector of the frame."""

    def __init__(self, channels: int, learns_kernels: bool = True) -> None:
        """Build.

        Args:
            channels: of the map.
            learns_kernels: as the paper has it; False: as its released code does.
        """
        super().__init__()
        self.narrowed = nn.Linear(channels, channels // 2)
        self.dynamic_in = DynamicLayer(channels // 2, _NARROW)
        self.dynamic_out = DynamicLayer(_NARROW, channels // 2)
        self.widened = nn.Sequential(nn.Linear(channels // 2, channels), nn.LayerNorm(channels))
        gains = channels + _KERNELS * _NEIGHBOURS
        self.gains = nn.Sequential(nn.Linear(channels, gains), nn.LayerNorm(gains))
        self.learns_kernels = learns_kernels

    def forward(self, x_BCHW: Tensor, aux_BA: Tensor) -> Tensor:
        """`(B, C, H, W)` and `(B, 128)` to the modulated map (eq. 14)."""
        pooled_BC = x_BCHW.mean((2, 3))
        inner = self.dynamic_out(self.dynamic_in(self.narrowed(pooled_BC), aux_BA), aux_BA)
        gains = self.gains(self.widened(inner) + pooled_BC).sigmoid()
        channel_BC, spatial_B8 = gains.split([x_BCHW.shape[1], _KERNELS * _NEIGHBOURS], 1)
        places_B1HW = self._places(x_BCHW, spatial_B8 if self.learns_kernels else spatial_B8.detach())
        # x + (x + x c) + (x + x p)
        modulated: Tensor = x_BCHW * (3 + channel_BC[..., None, None] + places_B1HW)
        return modulated

    def _places(self, x_BCHW: Tensor, spatial_B8: Tensor) -> Tensor:
        """Gains `(B, 1, H, W)` of places: Laplacian-like kernels of each sample on the mean and the greatest channel (eq. 10 to 13)."""
        num = len(x_BCHW)
        pools_B2HW = torch.stack([x_BCHW.mean(1), x_BCHW.amax(1)], 1)
        kernels_B233 = laplacians(spatial_B8.reshape(-1, _KERNELS, _NEIGHBOURS))
        padded = functional.pad(pools_B2HW, (1, 1, 1, 1), mode="replicate")
        # One group a sample: its own kernels on its own two maps.
        response = functional.conv2d(padded.flatten(0, 1)[None], kernels_B233.to(padded.dtype), groups=num)
        return response[0, :, None].sigmoid()


def laplacians(neighbours_BK4: Tensor) -> Tensor:
    """3x3 kernels `(B, K, 3, 3)` without corners that sum to zero, from their weights of the cells above, left, right and below."""
    up, left, right, down = neighbours_BK4.unbind(2)
    none, middle = torch.zeros_like(up), -neighbours_BK4.sum(2)
    return torch.stack([none, up, none, left, middle, right, none, down, none], 2).reshape(*up.shape, 3, 3)


class EdgeEnhancement(nn.Module):
    """LEEM: a vertical and a horizontal convolution that begin as second differences, normalised image by image."""

    def __init__(self, channels: int) -> None:
        """Build."""
        super().__init__()
        self.vertical = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), padding_mode="replicate", bias=False)
        self.horizontal = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), padding_mode="replicate", bias=False)
        self.alpha = nn.Parameter(torch.tensor(0.1))
        self.gamma = nn.Parameter(torch.tensor(1.0))
        second_difference = torch.tensor([1.0, -2.0, 1.0]) / 4
        for layer in (self.vertical, self.horizontal):
            nn.init.zeros_(layer.weight)
            with torch.no_grad():
                layer.weight[range(channels), range(channels)] = second_difference.view(layer.weight.shape[2:]).to(layer.weight.device)

    def forward(self, x_BCHW: Tensor, gate_B1: Tensor) -> Tensor:
        """`(B, C, H, W)` with its edges added, as much of them as `gate_B1` in [0, 1] says (eq. 15 to 18)."""
        vertical = functional.relu(self.vertical(x_BCHW)) * self.alpha.sigmoid()
        edges = self.horizontal(vertical).float()
        variance, mean = torch.var_mean(edges, (2, 3), correction=0, keepdim=True)
        normal = (edges - mean) * (variance + _LEAST_VARIANCE).rsqrt()
        weight_B111: Tensor = gate_B1[..., None, None] * self.gamma
        edged: Tensor = x_BCHW + (weight_B111 * normal).to(x_BCHW.dtype)
        return edged
