"""Draws images from several data sets by share, so that a large set does not drown a small one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from contracts.errors import SettingsError
from training.data.samples import Sample


def by_images(shares: Mapping[str, float], samples: Sequence[Sample], natural: Sequence[str]) -> dict[str, float]:
    """Shares in which some sets divide what they have together by the numbers of their images; others keep theirs."""
    counts = Counter(sample.dataset for sample in samples)
    total, images = sum(shares[name] for name in natural), sum(counts[name] for name in natural)
    return dict(shares) | {name: total * counts[name] / images for name in natural if images}


class SamplePool:
    """Every image of a set comes once before any comes again."""

    def __init__(self, samples: Sequence[Sample], shares: Mapping[str, float], rng: np.random.Generator) -> None:
        """Group the images by data set.

        Args:
            samples: images; those of sets without a share are never drawn.
            shares: how often each data set is drawn (relative).
            rng: source of chance, shared with the caller.

        Raises:
            SettingsError: no image of any set that has a share.
        """
        groups = {name: [sample for sample in samples if sample.dataset == name] for name in shares}
        self._groups = {name: group for name, group in groups.items() if group}
        if not self._groups:
            raise SettingsError(
                expected=f"images of {', '.join(shares)}", got="none", where="training images", action="Check their index.jsonl."
            )
        weights = np.array([shares[name] for name in self._groups])
        self._names, self._shares, self._rng = list(self._groups), weights / weights.sum(), rng
        self._orders: dict[str, list[int]] = {name: [] for name in self._groups}

    def draw(self) -> Sample:
        """The next image."""
        return self.draw_many(1)[0]

    def draw_many(self, num: int) -> list[Sample]:
        """The next images."""
        names = self._rng.choice(len(self._names), num, p=self._shares).tolist()
        return [self._next_of(self._names[name]) for name in names]

    def _next_of(self, name: str) -> Sample:
        order = self._orders[name]
        if not order:
            order += self._rng.permutation(len(self._groups[name])).tolist()
        return self._groups[name][order.pop()]
