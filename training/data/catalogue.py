"""The known data sets: their names, what is labelled in them, their licences, and how to get them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

SYNTHETIC = "synthetic"
SYNTHETIC_FOLDER = Path("runs/synthetic")
HELP = (
    "Set IRSTREAM_DATA to the folder of the data sets (docs/datasets.md); "
    f"irstream dataset synthetic {SYNTHETIC_FOLDER} makes the synthetic one."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSet:
    """A known data set.

    Attributes:
        licence: its title and licence, as a card of weights says it.
        masks: whether targets have masks.
        unseen: no training may see it, nor any choice of a threshold: it measures only, so that its figures are those of a camera that
            a network does not know. Images without boxes, be it none, are not labelled in it, and left out.
        classes: names of the class numbers of its index; empty where every box is a target of no class.
        offset_areas_px: smallest and largest area of the targets whose light lies half a pixel right of and below the middle of their
            masks; None where no targets do (`training.data.label_conventions`).
        loose: boxes are drawn around more than the target; what is seen of it is found inside them (`training.data.half_maximum`).
    """

    licence: str
    masks: bool = False
    unseen: bool = False
    classes: tuple[str, ...] = ()
    offset_areas_px: tuple[int, int] | None = None
    loose: bool = False


_FLYING = ("airplane", "bird", "drone", "helicopter")
_PUBLIC: Mapping[str, KnownSet] = MappingProxyType(
    {
        # Median of 338 training targets: +0.52 and +0.50 px; of 281 test targets +0.50 and +0.49. Smaller and larger ones: none.
        "nudt-sirst": KnownSet(licence="NUDT-SIRST: none stated (research use, cite)", masks=True, offset_areas_px=(13, 37)),
        "irstd-1k": KnownSet(licence="IRSTD-1k: MIT", masks=True),
        "sirst-v2": KnownSet(licence="SIRST-V2: none stated (research use, cite)", masks=True),
        "hit-uav": KnownSet(licence="HIT-UAV: CC BY 4.0", classes=("person", "car", "bicycle", "other_vehicle", "ignore")),
        "drone-ir": KnownSet(licence="Drone-detection-dataset: CC0 1.0", classes=_FLYING, loose=True),
        "drone-ir-clips": KnownSet(licence="Drone-detection-dataset clips: CC0 1.0", classes=_FLYING, loose=True),
    }
)
_OURS = KnownSet(
    licence="own synthetic frames: Apache-2.0",
    masks=True,
    classes=("person", "car", "bicycle", "other_vehicle", *_FLYING, "ignore"),
)
_UNSEEN: Mapping[str, KnownSet] = MappingProxyType(
    {
        "mar-dct-ir": KnownSet(licence="MAR-DCT infrared (TIRSD): Apache-2.0", unseen=True, classes=("vessel",), loose=True),
        "cptv-lepton-16bit": KnownSet(licence="CPTV clips: GPL-3.0 and Apache-2.0", unseen=True, classes=("possum",)),
        "wikimedia-flir-radiometric": KnownSet(
            licence="Wikimedia radiometric pictures: CC0, CC BY, CC BY-SA, by picture", unseen=True, classes=("person", "vehicle")
        ),
        "misb-klv": KnownSet(licence="MISB samples: MIT and EPL", unseen=True),
    }
)
KNOWN: Mapping[str, KnownSet] = MappingProxyType({**_PUBLIC, SYNTHETIC: _OURS, **_UNSEEN})
KNOWN_SETS = tuple(KNOWN)
UNSEEN_SETS = tuple(_UNSEEN)
LEARNT_SETS = tuple(name for name in KNOWN if name not in UNSEEN_SETS)
BOX_SETS = tuple(_PUBLIC)
SEGMENTATION_SETS = tuple(name for name, known in _PUBLIC.items() if known.masks)
MASK_SETS = tuple(name for name, known in KNOWN.items() if known.masks)
"""Those of `SEGMENTATION_SETS`, and the synthetic one."""
CLASS_SETS = tuple(name for name, known in _PUBLIC.items() if known.classes)


def licence_of(name: str) -> str:
    """Title and licence of a data set by its name; that of one's own folder is not known."""
    return KNOWN[name].licence if name in KNOWN else f"{name}: not known"
