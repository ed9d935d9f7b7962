"""Changes of a segmenter's crops and loss during its training, by the share of it that is done."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.augmentation.plan import Augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Changes by progress; without arguments there are none.

    Attributes:
        sides: until which share of the training crops have which part of the full side. What a target looks like is learnt from small
            ones, four for the price of one; what clutter looks like needs the large ones.
        clean_from: share from which on no crop has camera flaws.
        hard_from: share from which on the hardest negatives count beside the loss of the recipe.
        hard_weight: weight of theirs.
    """

    sides: tuple[tuple[float, float], ...] = ()
    clean_from: float = math.inf
    hard_from: float = math.inf
    hard_weight: float = 0.5

    @property
    def is_level(self) -> bool:
        """True when nothing ever changes."""
        return not self.sides and math.isinf(self.clean_from) and math.isinf(self.hard_from)

    def augmentation(self, whole: Augmentation, progress: float) -> Augmentation:
        """Augmentation of a crop at a progress in [0, 1]."""
        part = next((part for until, part in self.sides if progress < until), 1.0)
        flaws = replace(whole.flaws, probability=0.0) if progress >= self.clean_from else whole.flaws
        return replace(whole, crop_px=round(part * whole.crop_px), flaws=flaws)

    def weight_of_hard(self, progress: float) -> float:
        """Weight of the hardest negatives at a progress in [0, 1]."""
        return self.hard_weight if progress >= self.hard_from else 0.0
