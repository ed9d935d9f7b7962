"""Base class of all classifiers of target crops: square crops of one size in, a score for each class out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from contracts.outputs import Classification
from models.interface import Model, Task
from models.thresholds import ClassificationPostprocess

PAPER_SIDE_PX = 224
"""Side of the crops of networks of papers."""
PAPER_CHANNELS = 3
"""Their channels; grey is repeated."""


class ClassificationModel(Model[Classification]):
    """A network whose raw output is one logit a class, `(B, K)`, in the order of `class_names`; `input_spec.fixed_size_px` is its crop."""

    task = Task.CLASSIFICATION

    def __init__(self) -> None:
        """Start with the settings as they are without a card.

        Raises:
            TypeError: the class names no crop size.
        """
        super().__init__()
        if self.input_spec.fixed_size_px is None:
            raise TypeError(f"expected a crop size (input_spec.fixed_size_px) of the classifier {type(self).__name__}, got None")
        self.settings = ClassificationPostprocess()

    @property
    def crop_side_px(self) -> int:
        """Side of the square crops it takes, pixels."""
        side_px = self.input_spec.fixed_size_px
        assert side_px is not None  # checked at the start
        return side_px

    def configure(self, postprocess: Mapping[str, float]) -> None:
        """Take the settings of a card."""
        self.settings = ClassificationPostprocess.model_validate(dict(postprocess))

    def scores(self, raw: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Raw output to scores `(B, K)` that sum to 1, float32."""
        logits_BK = raw if isinstance(raw, Tensor) else raw[0]
        return (logits_BK.float() / self.settings.temperature).softmax(1)

    def postprocess(self, raw: Tensor | tuple[Tensor, ...], sizes_px: Sequence[tuple[int, int]]) -> list[Classification]:
        """Logits to one `Classification` of one row for each crop; sizes are not needed."""
        scores_BK = self.scores(raw).cpu().numpy()
        return [Classification(self.class_names, scores_BK[item : item + 1]) for item in range(len(sizes_px))]
