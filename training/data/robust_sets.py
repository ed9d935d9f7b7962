"""Labelled images of the suite `robust`: test images of the sets with masks, and frames of cameras that nothing has learnt from."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.dataset_index import INDEX_NAME
from contracts.errors import SettingsError
from models.card import ModelCard
from training.data.catalogue import HELP, SEGMENTATION_SETS
from training.data.samples import Role, Sample, data_root, read_samples

FOREIGN_SETS = ("mar-dct-ir", "cptv-lepton-16bit")
"""Vessels on the horizon, a possum in 16-bit frames: boxes only, and no training may see them (`KnownSet.unseen`)."""
BOX_ONLY_SETS = ("drone-ir", "hit-uav")
ROBUST_SETS = (*SEGMENTATION_SETS, *FOREIGN_SETS, *BOX_ONLY_SETS)


@dataclass(frozen=True, slots=True, eq=False)
class RobustSet:
    """Images of one data set.

    Attributes:
        name: of the set.
        samples: its images, or every so many of them.
        has_masks: whether frames are also changed and their masks compared.
    """

    name: str
    samples: tuple[Sample, ...]
    has_masks: bool


def robust_sets(every: int = 1) -> tuple[list[RobustSet], list[str]]:
    """The sets that are there, and the names of those that are not.

    Args:
        every: take one of so many images of each set, from the first on.

    Raises:
        SettingsError: none is there, or an index has a mistake.
    """
    root = data_root()
    there = [name for name in ROBUST_SETS if (root / name / INDEX_NAME).is_file()]
    if not there:
        raise SettingsError(
            expected=f"at least one of {', '.join(ROBUST_SETS)}", got="none", where=f"data sets in {root}, suite robust", action=HELP
        )
    sets = [RobustSet(name, tuple(read_samples((name,), Role.TEST)[::every]), name in SEGMENTATION_SETS) for name in there]
    return sets, [name for name in ROBUST_SETS if name not in there]


def has_learnt(card: ModelCard, dataset: str) -> bool:
    """True where weights learnt from a data set, or from clips of the same recordings."""
    return dataset in card.learnt_from or f"{dataset}-clips" in card.learnt_from
