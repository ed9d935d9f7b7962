"""Pyramids between backbone and heads: the plain one of detectors, and AuxDet's, which knows of the frame's metadata."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from contracts.frame import Band
from models.detection.aux_modules import EdgeEnhancement, Modulation
from models.detection.metadata_encoder import PAPER_BANDS, WIDTH, MetadataEncoder
from models.interface import MetadataBatch
from models.layers.resnet import STRIDES

CHANNELS = 256
_GROUPS = 32


class Neck(nn.Module, ABC):
    """Maps of a backbone, and metadata of the frames, to maps that have one width.

    Attributes:
        strides: pixels of the backbone's input a cell of each map that comes out.
    """

    strides: tuple[int, ...]

    @abstractmethod
    def forward(self, maps: Sequence[Tensor], metadata: MetadataBatch) -> list[Tensor]:
        """Maps at strides 4, 8, 16 and 32 to those of `strides`, `(B, 256, H, W)` each."""


class PlainPyramid(Neck):
    """Top-down pathway with lateral connections, as detectors have it: biases and no norms.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, arXiv:1612.03144.
    """

    def __init__(self, inputs: Sequence[int], num: int, *, keeps_dead: bool = True) -> None:
        """Build.

        Args:
            inputs: channels of each map of the backbone.
            num: maps that come out, finest first; a fifth one (stride 64) is the fourth at half the size.
            keeps_dead: also have the convolutions of maps that do not come out, as the code that papers were measured with has.
        """
        super().__init__()
        self.strides = (*STRIDES, 64)[:num]
        self.laterals = nn.ModuleList(nn.Conv2d(channels, CHANNELS, 1) for channels in inputs)
        kept = len(inputs) if keeps_dead else min(num, len(inputs))
        self.smoothings = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(kept))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Tensor], metadata: MetadataBatch) -> list[Tensor]:
        """See `Neck`; metadata is not used here."""
        laterals = [lateral(each) for lateral, each in zip(self.laterals, maps, strict=True)]
        return self._summed(self._enhanced(laterals, metadata))

    def _enhanced(self, laterals: list[Tensor], metadata: MetadataBatch) -> list[Tensor]:
        """Lateral maps before they are summed."""
        return laterals

    def _summed(self, laterals: Sequence[Tensor]) -> list[Tensor]:
        sums = [laterals[-1]]
        for lateral in reversed(laterals[:-1]):
            sums.append(lateral + functional.interpolate(sums[-1], size=lateral.shape[-2:]))
        maps = [smoothing(each) for smoothing, each in zip(self.smoothings, sums[::-1][: len(self.strides)], strict=False)]
        if len(self.strides) > len(laterals):
            maps.append(functional.max_pool2d(maps[-1], 1, 2))
        return maps


class AuxPyramid(PlainPyramid):
    """AuxDet's pyramid: the two finest lateral maps are modulated by metadata, and get their edges, before they are summed.

    Source: AuxDet, arXiv:2505.15184, fig. 2; levels by its table 7.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        num: int,
        *,
        keeps_dead: bool = True,
        learns_kernels: bool = True,
        bands: tuple[Band, ...] = PAPER_BANDS,
    ) -> None:
        """Build; see `PlainPyramid`, `Modulation` and `MetadataEncoder`."""
        super().__init__(inputs, num, keeps_dead=keeps_dead)
        self.encoder = MetadataEncoder(CHANNELS, bands)
        shrinks = [STRIDES[-1] // stride for stride in STRIDES[:2]]
        self.shrunk = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, shrink, 1, groups=_GROUPS) for shrink in shrinks)
        self.modulations = nn.ModuleList(Modulation(CHANNELS, learns_kernels) for _ in shrinks)
        self.edges = nn.ModuleList(EdgeEnhancement(CHANNELS) for _ in shrinks)
        self.gate = nn.Sequential(nn.Linear(WIDTH, WIDTH // 2), nn.ReLU(), nn.Linear(WIDTH // 2, 1), nn.Sigmoid())

    def _enhanced(self, laterals: list[Tensor], metadata: MetadataBatch) -> list[Tensor]:
        known_BK = self.encoder.of_metadata(metadata)
        enhanced = []
        for level, (shrink, modulate, sharpen) in enumerate(zip(self.shrunk, self.modulations, self.edges, strict=True)):
            lost_BC = (shrink(laterals[level]) - laterals[-1]).mean((2, 3))
            aux_BA = self.encoder(known_BK, lost_BC)
            enhanced.append(sharpen(modulate(laterals[level], aux_BA), self.gate(aux_BA)))
        return [*enhanced, *laterals[len(enhanced) :]]
