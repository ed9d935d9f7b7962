"""The paper's baselines as torchvision has them: VGG-16, ResNet-18 and 50, DenseNet-121.

Torchvision is imported when one of them is built: its import costs every process seconds and memory (docs/adr/0017).
"""

from __future__ import annotations

import importlib

from torch import Tensor

from models.classification.base import PAPER_CHANNELS, PAPER_SIDE_PX, ClassificationModel
from models.classification.classes import CLASSES_AND_CLUTTER
from models.interface import InputSpec, MetadataBatch
from models.zoo import register_model


class _Torchvision(ClassificationModel):
    """A network of torchvision with our classes, random weights and grey crops repeated to three channels."""

    input_spec = InputSpec(size_multiple_px=PAPER_SIDE_PX, fixed_size_px=PAPER_SIDE_PX)
    class_names = CLASSES_AND_CLUTTER
    head_names = ("network.fc", "network.classifier")

    def __init__(self, num_classes: int | None = None) -> None:
        """Build with random weights.

        Args:
            num_classes: see `Aamsf`.
        """
        super().__init__()
        make = getattr(importlib.import_module("torchvision.models"), self.name)
        # Of some families torchvision warns that their first weights will change; the recipe may draw them anew.
        self.network = make(weights=None, num_classes=num_classes or len(self.class_names))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, 224, 224)` normalised crops to `(B, K)` logits; metadata is not used."""
        return self.network(pixels_BCHW.expand(-1, PAPER_CHANNELS, -1, -1))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


@register_model("vgg16")
class Vgg16(_Torchvision):
    """Thirteen convolutions, three linear layers."""

    paper = "Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015, arXiv:1409.1556 (torchvision)"


@register_model("resnet18")
class ResNet18(_Torchvision):
    """Eight residual blocks."""

    paper = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385 (torchvision)"


@register_model("resnet50")
class ResNet50(_Torchvision):
    """Sixteen residual bottlenecks."""

    paper = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385 (torchvision)"


@register_model("densenet121")
class DenseNet121(_Torchvision):
    """Four dense blocks."""

    paper = "Huang et al., Densely Connected Convolutional Networks, CVPR 2017, arXiv:1608.06993 (torchvision)"
