"""The class of a target: a vote over all sights of its track, so that single frames do not rename it."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.result import CLUTTER, UNNAMED

_MEMORY = 100  # sights after which older ones fade: what comes near may turn out to be something else
_LEAD = 0.1  # another class must be ahead by so much to take over
_DIGITS = 5
_MOST_CLASSES = 20


def counted(means: Mapping[str, float], class_scores: Mapping[str, float], num_seen: int) -> dict[str, float]:
    """Mean class scores with those of one more sight.

    Args:
        means: of the sights before.
        class_scores: of this sight; classes that one of the two does not know count as 0 there.
        num_seen: sights, this one included.
    """
    part = 1 / min(num_seen, _MEMORY)
    names = sorted(means.keys() | class_scores.keys())
    new = {name: round(means.get(name, 0.0) * (1 - part) + class_scores.get(name, 0.0) * part, _DIGITS) for name in names}
    return dict(sorted(new.items(), key=lambda item: -item[1])[:_MOST_CLASSES])


def elected(means: Mapping[str, float], label: str, least: float) -> tuple[str, float | None]:
    """The label of a track and its score.

    Args:
        means: mean class scores of its sights.
        label: what it was called so far.
        least: mean class score that a class needs to become the label; a label once given stays until another class takes over.

    Returns:
        A class and its mean score, or `target` and None.
    """
    best = max((name for name in means if name != CLUTTER), key=means.__getitem__, default=None)
    if best is None:
        return UNNAMED, None
    own = means.get(label)
    if means[best] >= least and (own is None or means[best] >= own + _LEAD):
        return best, means[best]
    return (UNNAMED, None) if own is None else (label, own)
