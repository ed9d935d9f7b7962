"""The labelled images on disk: `index.jsonl` of each folder, official splits, decoded once into memory.

Roles: `train` learns, `select` chooses thresholds, `test` only measures. Where a data set has no validation split of
its own, `select` is a fixed part of its training split, chosen by a hash of the image (or clip) name. Images of the split `unseen`, and
data sets that no training may see (`KnownSet.unseen`), have the role `test`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.codecs import FLOAT_BIT_DEPTH
from contracts.dataset_index import INDEX_NAME, TRACKS_NAME, ClipTrack, IndexEntry, read_numbered, read_tracks
from contracts.errors import RejectRecord, SettingsError
from contracts.frame import Band, Normalisation, Pixels, Platform
from contracts.image_files import nodata_of_file, read_counts
from contracts.text import counted
from contracts.video_files import Grey, grey_frames
from contracts.video_packets import Tally
from models.normalisation import Filled, fill
from models.transforms import crop_square, normalise
from training.data.box_checks import refuse_boxes_outside
from training.data.catalogue import HELP, KNOWN, KNOWN_SETS, LEARNT_SETS, SYNTHETIC, SYNTHETIC_FOLDER, UNSEEN_SETS
from training.data.half_maximum import half_maximum_boxes
from training.data.label_conventions import OFFSET, marked
from training.data.label_files import boxes_of_mask, read_mask_labels
from training.data.label_values import LabelPixels
from training.data.places import place_of

VARIABLE = "IRSTREAM_DATA"
CLIP_STEP_FRAMES = 15
"""Of clips every so many frames are read where nobody asks for more: neighbours look alike."""
_WHOLE = (slice(None), slice(None))


class Role(StrEnum):
    """Role of an image in training and measuring."""

    TRAIN = "train"
    SELECT = "select"
    TEST = "test"


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled image; pixels are decoded on first use and kept.

    Attributes:
        dataset: name of a known set, or a folder as it was named.
        image_id: name within the data set.
        role: what it may be used for.
        read_pixels: decodes the image.
        mask_path: mask file, or None where there is no mask.
        boxes_xyxy_px: `(n, 4)` float32, pixel edges.
        labels: n class names; `target` where the set knows only targets, `ignore` for regions nobody labelled.
        platform: of the camera.
        band: of the camera.
        bit_depth: significant bits of integer counts.
        image_path: image file, or None where it is a frame of a clip.
        nodata: values that are no measurement; none: those the image file names.
        read_mask: gives the mask, `(H, W)`, 0 or 1, where it is no file; None: `mask_path` counts.
    """

    dataset: str
    image_id: str
    role: Role
    read_pixels: Callable[[], Pixels]
    mask_path: Path | None
    boxes_xyxy_px: NDArray[np.float32]
    labels: tuple[str, ...]
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    bit_depth: int = 8
    image_path: Path | None = None
    nodata: tuple[float, ...] = ()
    read_mask: Callable[[], NDArray[np.uint8]] | None = None

    @property
    def has_mask(self) -> bool:
        """True where somebody drew the targets, be it none."""
        return self.mask_path is not None or self.read_mask is not None

    @property
    def pixels_HW(self) -> Pixels:
        """Grey counts `(H, W)`, uint8, uint16 or float32, as the stream would decode and fill them.

        Raises:
            SettingsError: the file cannot be used.
        """
        return self._filled.pixels_HW

    @cached_property
    def mask_HW(self) -> NDArray[np.uint8]:
        """Target pixels, 0 or 1; all 0 where the index names no mask.

        Raises:
            SettingsError: the file cannot be read, or is no mask of this image.
        """
        if self.read_mask is not None:
            return self.read_mask()
        if self.mask_path is None:
            return np.zeros(self.pixels_HW.shape, np.uint8)
        return self._labels_of_file.target_HW

    @cached_property
    def _labels_of_file(self) -> LabelPixels:
        assert self.mask_path is not None
        return read_mask_labels(self.mask_path, self.pixels_HW.shape, str(self.image_path or self.image_id))

    @cached_property
    def marked_HW(self) -> NDArray[np.uint8]:
        """The mask with the marks of `training.data.label_conventions`."""
        return marked(self.mask_HW, self.dataset)

    @cached_property
    def ignored_N(self) -> NDArray[np.bool_]:
        """True for boxes that are regions nobody labelled, `(N,)`."""
        return np.array([label == "ignore" for label in self.labels], bool)

    @cached_property
    def unknown_HW(self) -> NDArray[np.uint8]:
        """Pixels of which nobody knows whether they are target, 0 or 1: ignored regions but their targets, boxes without a mask."""
        unknown_HW = np.zeros(self.pixels_HW.shape, np.uint8)
        boxes_N4 = self.boxes_xyxy_px[self.ignored_N] if self.has_mask else self.boxes_xyxy_px
        for x_min, y_min, x_max, y_max in boxes_N4.astype(int):
            unknown_HW[max(y_min, 0) : y_max, max(x_min, 0) : x_max] = 1
        if self.read_mask is None and self.mask_path is not None and self._labels_of_file.ignored_HW is not None:
            unknown_HW[self._labels_of_file.ignored_HW] = 1
        return unknown_HW & (1 - self.mask_HW)

    @cached_property
    def _half_maximum(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return half_maximum_boxes(self.pixels_HW, self.boxes_xyxy_px)

    @property
    def is_loose(self) -> bool:
        """True where boxes are drawn around more than the targets (`KnownSet.loose`)."""
        return self.dataset in KNOWN and KNOWN[self.dataset].loose

    @property
    def tight_boxes_xyxy_px(self) -> NDArray[np.float32]:
        """Boxes `(n, 4)` by one convention for all sets: of a set with loose labels those around what is seen, where it can be told."""
        return self._half_maximum[0] if self.is_loose else self.boxes_xyxy_px

    @property
    def loose_N(self) -> NDArray[np.bool_]:
        """True for the targets whose `tight_boxes_xyxy_px` is a loose label: their place is known and their size is not."""
        return ~self._half_maximum[1] & ~self.ignored_N if self.is_loose else np.zeros(len(self.labels), bool)

    @cached_property
    def offset_N(self) -> NDArray[np.bool_]:
        """True for boxes of masks that lie beside the light (`training.data.label_conventions`)."""
        if not self.has_mask or self.dataset not in KNOWN or KNOWN[self.dataset].offset_areas_px is None:
            return np.zeros(len(self.labels), bool)
        corners_N4 = self.boxes_xyxy_px.astype(int)
        return np.array([(self.marked_HW[y0:y1, x0:x1] == OFFSET).any() for x0, y0, x1, y1 in corners_N4], bool)

    @property
    def normalisation(self) -> Normalisation:
        """As the stream would measure this frame."""
        return self._filled.normalisation

    @property
    def void_HW(self) -> NDArray[np.bool_] | None:
        """True where a pixel shows no scene, as the stream would find it; None where all do."""
        return self._filled.void_HW

    @cached_property
    def _filled(self) -> Filled:
        pixels_HW = self.read_pixels()
        nodata = self.nodata or (nodata_of_file(self.image_path) if self.image_path else ())
        return fill(pixels_HW, FLOAT_BIT_DEPTH if pixels_HW.dtype == np.float32 else self.bit_depth, nodata)

    def normalised(self, window: tuple[slice, slice] = _WHOLE) -> NDArray[np.float32]:
        """The frame, or a window of it (rows, columns; inside the frame), as the networks see it."""
        return normalise(self.pixels_HW[window], self.normalisation)

    def crop_of(self, box_xyxy_px: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
        """The square around a box as the classifier sees it, `(side_px, side_px)`."""
        # As in the stream: resampling and the linear map commute, and a crop has fewer pixels than the frame.
        return normalise(crop_square(self.pixels_HW, box_xyxy_px, side_px), self.normalisation)


def data_root() -> Path:
    """Folder of the labelled images: `IRSTREAM_DATA`, or `../shared/data`."""
    return Path(os.environ.get(VARIABLE, "../shared/data"))


def read_samples(datasets: Iterable[str], role: Role, root: Path | None = None, *, clip_step: int = CLIP_STEP_FRAMES) -> list[Sample]:
    """All images of some data sets that have a role, in the order of their indexes.

    Args:
        datasets: names of known sets, or folders of one's own; a name that is known never means a folder.
        role: what the images are for.
        root: where the known sets are; None: `data_root()`.
        clip_step: of clips every so many frames.

    Raises:
        SettingsError: a data set is not there, its index has a mistake, or a folder of one's own has nothing to learn from.
    """
    folder = data_root() if root is None else root
    return [sample for dataset in datasets for sample in _of_role(folder, dataset, role, clip_step)]


def read_folder(folder: Path, name: str | None = None) -> list[Sample]:
    """All images of a folder of one's own, whatever their role; what the folder is called means nothing.

    Args:
        folder: with an index of the same form.
        name: what the data set is called; None: as the folder.

    Raises:
        SettingsError: there is no index, or a mistake in it.
    """
    return [_sample(folder, name or folder.name, None, entry) for entry in _entries_of(folder, own=True)]


def _no_such_set(name: str, known: Sequence[str], where: str) -> SettingsError:
    """For a name that is neither known nor a folder of one's own; says what was probably meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return SettingsError(
        expected=f"one of {', '.join(known)}, or a folder with an {INDEX_NAME}",
        got=f"{name!r}, a folder without it" if Path(name).is_dir() else repr(name),
        where=where,
        action=f"Did you mean {close[0]!r}? {HELP}" if close else f"Write an index for your images (docs/datasets.md). {HELP}",
    )


def _of_role(root: Path, dataset: str, role: Role, clip_step: int) -> list[Sample]:
    known = dataset in KNOWN_SETS
    meant = KNOWN_SETS if role is Role.TEST else LEARNT_SETS
    every = _read_known(root, dataset, role, clip_step) if known else read_own(dataset, meant, "data set", root)
    samples = [sample for sample in every if sample.role is role]
    if not samples and not known and role is Role.TRAIN:
        raise SettingsError(
            expected="images to learn from (split train, or none)",
            got="none",
            where=f"data set {dataset}",
            action=f"Check its {INDEX_NAME}.",
        )
    return samples


def _read_known(root: Path, dataset: str, role: Role, clip_step: int) -> list[Sample]:
    if dataset == "drone-ir-clips":
        # Reading them is decoding them, and all of them teach.
        return _read_clips(root, clip_step) if role is Role.TRAIN else []
    folder = root / dataset
    if dataset == SYNTHETIC and not folder.is_dir():
        folder = SYNTHETIC_FOLDER  # ours: `irstream dataset synthetic`
    entries = [entry for entry in _entries_of(folder) if entry.boxes_drawn or not KNOWN[dataset].unseen]
    if dataset == "drone-ir":
        entries = _apart(entries)
    return [_sample(folder, dataset, dataset, entry) for entry in entries]


def read_own(dataset: str, known: Sequence[str], where: str, root: Path | None = None) -> list[Sample]:
    """All images of a folder of one's own, here or beside the known sets.

    Args:
        dataset: the folder.
        known: names that would do as well, for the message.
        where: what it was given as, for the message.
        root: where the known sets are; None: `data_root()`.

    Raises:
        SettingsError: there is no such folder with an index, or a mistake in the index.
    """
    for folder in (Path(dataset), (data_root() if root is None else root) / dataset):
        if (folder / INDEX_NAME).is_file():
            return read_folder(folder, dataset)
    raise _no_such_set(dataset, known, where)


def _entries_of(folder: Path, *, own: bool = False) -> list[IndexEntry]:
    index = _present(folder / INDEX_NAME)
    numbered = read_numbered(index)
    entries = [entry for _, entry in numbered]
    missing = [file for entry in entries for file in (entry.file, entry.mask) if file and not (folder / file).is_file()]
    if missing:
        raise SettingsError(
            expected="every image and mask that the index names",
            got=f"{len(missing)} missing, first {folder / missing[0]}",
            where=str(index),
            action="Put it there or correct the index; its paths are relative to its folder.",
        )
    if own:
        refuse_boxes_outside(folder, numbered)
    return entries


def _present(index: Path) -> Path:
    if not index.is_file():
        own = index.parent.name
        here = f"Write ./{own} for the folder here. " if (Path(own) / index.name).is_file() else ""
        unset = index.parent == data_root() / own and VARIABLE not in os.environ
        raise SettingsError(
            expected="a data set",
            got=f"no folder that has it: {VARIABLE} is not set" if unset else "no index",
            where=own if unset else str(index),
            action=here + HELP,
        )
    return index


def _apart(entries: Sequence[IndexEntry]) -> list[IndexEntry]:
    """Images of `drone-ir` without those that are not measured, of places that are."""
    measured = {place_of(entry.clip or "") for entry in entries if entry.split == "val"}
    return [entry for entry in entries if entry.split == "val" or place_of(entry.clip or "") not in measured]


def _read_clips(root: Path, clip_step: int) -> list[Sample]:
    """Frames of the clips that belong to the training clips of `drone-ir`, and to no other role.

    Clips of its `val` split, and of their places, stay out altogether, so that nothing measured is learnt from.
    """
    roles = {entry.clip: _role(entry, "drone-ir") for entry in _apart(_entries_of(root / "drone-ir"))}
    folder = root / "drone-ir-clips"
    tracks = read_tracks(_present(folder / TRACKS_NAME))
    return [
        sample for track in tracks if roles.get(Path(track.video).name) is Role.TRAIN for sample in clip_samples(folder, track, clip_step)
    ]


def clip_samples(folder: Path, track: ClipTrack, clip_step: int = CLIP_STEP_FRAMES) -> list[Sample]:
    """Every so many frames of a clip, those that have a box."""
    path = folder / track.video
    chosen = {number: box for number, box in enumerate(track.boxes_xywh_px) if box is not None and number % clip_step == 0}
    samples: list[Sample] = []
    for frame, grey_HW in _whole_clip(path, chosen.__contains__):
        x, y, width, height = chosen[frame]
        samples.append(
            Sample(
                dataset="drone-ir-clips",
                image_id=f"{path.stem}_f{frame:04d}",
                role=Role.TRAIN,
                read_pixels=partial(np.copy, grey_HW),
                mask_path=None,
                boxes_xyxy_px=np.array([[x, y, x + width, y + height]], np.float32),
                labels=(track.label.lower(),),
                platform=Platform.LAND,
                band=Band.LWIR,
                bit_depth=8 * grey_HW.dtype.itemsize,
            )
        )
    return samples


def _whole_clip(path: Path, wanted: Callable[[int], bool]) -> Iterator[tuple[int, Grey]]:
    """The frames that are wanted; boxes are by number, so a clip of which frames cannot be read is refused."""
    num_read, tally = 0, Tally()

    def asked(number: int) -> bool:
        nonlocal num_read
        num_read = number + 1
        return wanted(number)

    try:
        yield from grey_frames(path, asked, tally)
    except RejectRecord as error:
        raise SettingsError(expected=error.expected, got=error.got, where=str(path), action="Leave the clip out.") from error
    if missing := tally.num_lost:
        raise SettingsError(
            expected=f"{counted(num_read + missing, 'frame')} as the clip says",
            got=f"{num_read}",
            where=str(path),
            action="It is damaged or ends early: get it again, or leave it out.",
        )


def _sample(folder: Path, dataset: str, known: str | None, entry: IndexEntry) -> Sample:
    """One image of a data set; `known` is the set whose classes and held-out images it has, None for a folder of one's own."""
    boxes_xywh = np.array(entry.boxes, np.float32).reshape(-1, 4)
    boxes_xyxy = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
    labels = _labels(folder, known, entry)
    if known is None and entry.mask and not entry.boxes:
        boxes_xyxy = boxes_of_mask(folder / entry.mask)
        labels = ("target",) * len(boxes_xyxy)
    return Sample(
        dataset=dataset,
        image_id=entry.id,
        role=_role(entry, known),
        read_pixels=partial(read_counts, folder / entry.file, entry.bit_depth, nodata=entry.nodata),
        image_path=folder / entry.file,
        mask_path=folder / entry.mask if entry.mask else None,
        boxes_xyxy_px=boxes_xyxy,
        labels=labels,
        platform=entry.platform,
        band=entry.band,
        bit_depth=entry.bit_depth or 8,
        nodata=entry.nodata,
    )


def _labels(folder: Path, known: str | None, entry: IndexEntry) -> tuple[str, ...]:
    names = KNOWN[known].classes if known else ()
    if entry.labels is not None:
        return entry.labels
    if not names or not entry.boxes:
        return ("target",) * len(entry.boxes)
    numbers = (0,) * len(entry.boxes) if entry.classes is None else entry.classes
    if not all(0 <= number < len(names) for number in numbers):
        raise SettingsError(
            expected=f"classes 0 to {len(names) - 1} ({', '.join(names)})",
            got=", ".join(map(str, numbers)),
            where=f"{folder / INDEX_NAME}, image {entry.id}",
            action="Correct the classes of this image.",
        )
    return tuple(names[number] for number in numbers)


def _role(entry: IndexEntry, known: str | None) -> Role:
    if known == "drone-ir":
        # It has train and val only, and frames of one place look alike: val measures, some training places choose.
        if entry.split == "val":
            return Role.TEST
        return Role.SELECT if _bucket(place_of(entry.clip or ""), 7) == 0 else Role.TRAIN
    if entry.split in ("test", "unseen") or known in UNSEEN_SETS:
        return Role.TEST
    if entry.split == "val":
        return Role.SELECT
    held_out = known in ("nudt-sirst", "irstd-1k") and _bucket(entry.id, 10) == 0
    return Role.SELECT if held_out else Role.TRAIN


def _bucket(name: str, num: int) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % num
