"""Folds of labelled data sets: alike in their classes, with every scene in one of them, and the same for a seed on every machine."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contracts.errors import SettingsError
from contracts.text import counted
from training.data.catalogue import UNSEEN_SETS
from training.data.labelled_frame import PIXEL_FREE
from training.data.near_duplicates import NEAR, Clusters, near_pairs
from training.data.parquet_set import data_hash, read_table, require_parquet_set

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
_ONE_SPLIT_OF = 5  # a single split measures on a fifth, as five folds do
_VALIDATION = 0.15
_MANY_TARGETS = 3
_UNLABELLED = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSettings:
    """Settings of folds.

    Attributes:
        num: folds; 1 for a single split into 80 % and 20 %.
        seed: of the order of groups.
        stratify: `class`: each fold has all classes in the same shares; `targets`: frames with no, one, two, more targets.
        validation: share of the frames that a fold does not test on that chooses thresholds and the best weights.
        near: correlation of thumbnails from which on frames are kept together, whatever their groups.
        allow_leaks: groups as the data sets name them are enough; near duplicates may lie in several folds.
    """

    num: int = 5
    seed: int = 0
    stratify: Literal["class", "targets"] = "class"
    validation: float = _VALIDATION
    near: float = NEAR
    allow_leaks: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that are none.

        Raises:
            SettingsError: no fold, or a validation part that is nothing or all.
        """
        if self.num < 1:
            raise SettingsError(expected="at least 1 fold", got=str(self.num), where="`folds`", action="Five are usual.")
        if not 0 < self.validation < 1:
            got = f"{self.validation:g}"
            raise SettingsError(expected="a share between 0 and 1", got=got, where="`validation share`", action="0.15 is usual.")
        if self.stratify not in ("class", "targets"):
            raise SettingsError(expected="class or targets", got=repr(self.stratify), where="`stratify`", action="Use one of these.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Folds of some data sets.

    Attributes:
        settings: how they were made.
        data: hash of images, labels and groups.
        test: by image, the fold that tests on it; -1 in a single split for images that it does not test on.
        validation: by fold, the images that choose.
    """

    settings: FoldSettings
    data: str
    test: Mapping[str, int]
    validation: tuple[frozenset[str], ...]

    @property
    def num(self) -> int:
        """Number of trainings."""
        return self.settings.num

    def part_of(self, fold: int, name: str) -> Part:
        """The part of an image in a fold."""
        if self.test[name] == fold:
            return "test"
        return "validation" if name in self.validation[fold] else "train"

    def names(self, fold: int, part: Part) -> list[str]:
        """The images of a part, by name."""
        return sorted(name for name in self.test if self.part_of(fold, name) == part)

    @property
    def digest(self) -> str:
        """Hash of all of it."""
        return hashlib.sha256(json.dumps(self._plain(), sort_keys=True).encode()).hexdigest()

    def _plain(self) -> dict[str, Any]:
        settings = {name: getattr(self.settings, name) for name in ("num", "seed", "stratify", "validation", "near", "allow_leaks")}
        chosen = [sorted(names) for names in self.validation]
        return {"settings": settings, "data": self.data, "test": dict(sorted(self.test.items())), "validation": chosen}

    def text(self) -> str:
        """JSON of them with their hash."""
        return json.dumps({"hash": self.digest, **self._plain()}, indent=1) + "\n"


def folds_of_file(path: Path) -> Folds:
    """Folds of a file.

    Raises:
        SettingsError: as `read_folds`.
    """
    try:
        return read_folds(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        got = error.strerror or str(error)
        raise SettingsError(expected="a file of folds", got=got, where=str(path), action="Check the path.") from error


def read_folds(text: str, path: str) -> Folds:
    """Folds of the text of a file, which is named in messages.

    Raises:
        SettingsError: it cannot be read, or was changed after it was written.
    """
    try:
        content = json.loads(text)
        folds = Folds(
            settings=FoldSettings(**content["settings"]),
            data=content["data"],
            test=content["test"],
            validation=tuple(frozenset(names) for names in content["validation"]),
        )
        digest = content["hash"]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            expected="a file of folds", got=f"{type(error).__name__}: {error}", where=path, action="Delete it to make folds anew."
        ) from error
    if folds.digest != digest:
        raise SettingsError(
            expected=f"folds with the hash that the file names, {digest[:12]}",
            got=f"{folds.digest[:12]}: the file was changed",
            where=path,
            action="Restore it, or delete it to make folds anew.",
        )
    return folds


def make_folds(folders: Sequence[Path], settings: FoldSettings, report: Callable[[int, int], None] = lambda done, of: None) -> Folds:
    """Make the folds of some data sets; images of the split `unseen` are in none.

    Args:
        folders: data sets in Parquet.
        settings: how.
        report: gets frames compared for near duplicates, and all.

    Raises:
        SettingsError: a data set is not there or no training may see it, a name comes twice, or there are too few groups; or near
            duplicates would lie in several folds.
    """
    rows = learnable_rows(folders)
    groups = _groups(rows, settings, report)
    labels = np.array([_stratum(row, settings.stratify) for row in rows])
    test_N = _test_folds(labels, groups, settings)
    names = [row["sample_id"] for row in rows]
    validation = []
    for fold in range(settings.num):
        rest_M = np.flatnonzero(test_N != fold)
        chosen = rest_M[_validation(labels[rest_M], groups[rest_M], settings)]
        validation.append(frozenset(names[index] for index in chosen.tolist()))
    folds = Folds(
        settings=settings, data=data_hash(folders), test=dict(zip(names, test_N.tolist(), strict=True)), validation=tuple(validation)
    )
    require_parts(folds)
    require_no_leaks(folds, rows)
    return folds


def require_folds(folds: Folds, folders: Sequence[Path], path: Path) -> None:
    """Refuse folds of other data, and those that leak.

    Raises:
        SettingsError: that is so.
    """
    now = data_hash(folders)
    if folds.data != now:
        raise SettingsError(
            expected=f"folds of these data sets ({now[:12]})",
            got=f"folds of others ({folds.data[:12]})",
            where=str(path),
            action="Name another folder for this training: images, labels or groups are not those of the folds.",
        )
    require_parts(folds)
    require_no_leaks(folds, learnable_rows(folders))


def require_parts(folds: Folds) -> None:
    """Refuse folds without images in one of their parts.

    Raises:
        SettingsError: that is so.
    """
    for fold in range(folds.num):
        for part in PARTS:
            if not folds.names(fold, part):
                raise SettingsError(
                    expected=f"images for {', '.join(PARTS)} in each fold",
                    got=f"none for {part} in fold {fold}",
                    where="`folds`",
                    action="Ask for fewer folds, or for another validation share; scenes are never cut.",
                )


def require_no_leaks(folds: Folds, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse folds in which a test or validation image is nearly the same as one that teaches.

    Raises:
        SettingsError: that is so, and it was not asked for.
    """
    if folds.settings.allow_leaks:
        return
    names, number = [row["sample_id"] for row in rows], {part: at for at, part in enumerate(PARTS)}
    parts_FN = np.array([[number[folds.part_of(fold, name)] for name in names] for fold in range(folds.num)], np.int8)
    counts_F, examples = np.zeros(folds.num, np.int64), dict[int, str]()
    for pairs in near_pairs([row["thumbnail"] for row in rows], folds.settings.near):
        for fold, parts_N in enumerate(parts_FN):
            apart = pairs.only(parts_N[pairs.first_M] != parts_N[pairs.second_M])
            counts_F[fold] += len(apart.first_M)
            if len(apart.first_M):
                examples.setdefault(fold, f"{names[apart.first_M[0]]} and {names[apart.second_M[0]]}")
    if examples:
        fold = min(examples)
        raise SettingsError(
            expected="no frame of a fold's training that is nearly the same as one it is measured on",
            got=f"{counted(int(counts_F[fold]), 'pair')}, such as {examples[fold]} in fold {fold}",
            where="leaks between folds",
            action="Delete the file of folds: new ones keep such frames together; or allow leaks (`allow_leaks`).",
        )


def learnable_rows(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of some data sets that may be learnt from, by name, without their images.

    Raises:
        SettingsError: a data set is not there, is one that no training may see, or two images have one name.
    """
    for folder in folders:
        if (name := require_parquet_set(folder)["dataset"]) in UNSEEN_SETS:
            raise SettingsError(
                expected="data sets that may be learnt from",
                got=f"{name}: no training may see it, so that its figures are those of a camera no network knows",
                where=str(folder),
                action="Leave it out, and measure the trained network on it.",
            )
    every = [row for folder in folders for row in read_table(folder, [*PIXEL_FREE, "thumbnail"]).to_pylist()]
    rows = sorted((row for row in every if row["split"] != "unseen"), key=lambda row: str(row["sample_id"]))
    if twice := [name for name, number in Counter(row["sample_id"] for row in every).items() if number > 1]:
        raise SettingsError(
            expected="one image of a name",
            got=f"{len(twice)} names with several, first {twice[0]}",
            where=", ".join(map(str, folders)),
            action="Import each data set once; of two sets with the same names, rename the images of one.",
        )
    return rows


def _groups(rows: Sequence[Mapping[str, Any]], settings: FoldSettings, report: Callable[[int, int], None]) -> NDArray[np.int64]:
    """A number for each row that those share which must stay together."""
    clusters, first_of = Clusters(len(rows)), dict[tuple[str, str], int]()
    named = [first_of.setdefault((row["dataset"], row["group_id"]), index) for index, row in enumerate(rows)]
    clusters.join(np.arange(len(rows)), np.array(named, np.int64))
    if not settings.allow_leaks:
        for pairs in near_pairs([row["thumbnail"] for row in rows], settings.near, report):
            clusters.join(pairs.first_M, pairs.second_M)
    return clusters.of_N


def _stratum(row: Mapping[str, Any], stratify: str) -> str:
    """Text that frames share which each fold shall have as many of: camera set, and rarest class or number of targets."""
    targets = [label for label in row["labels"] if label != _UNLABELLED]
    if stratify == "targets" or set(targets) <= {"target"}:
        return f"{row['dataset']}/{min(len(targets), _MANY_TARGETS)}"
    return f"{row['dataset']}/{'+'.join(sorted(set(targets)))}"


def _test_folds(labels: NDArray[Any], groups: NDArray[np.int64], settings: FoldSettings) -> NDArray[np.int64]:
    num = settings.num if settings.num > 1 else _ONE_SPLIT_OF
    if (there := len(set(groups.tolist()))) < num:
        raise SettingsError(
            expected=f"at least {num} groups of frames (scenes, or frames that are nearly the same)",
            got=f"{there} in {len(groups)} frames",
            where="`folds`",
            action="Ask for fewer folds, name finer `groups` at the import, or allow leaks (`allow_leaks`).",
        )
    folds_N = _stratified(labels, groups, num, settings.seed)
    return folds_N if settings.num > 1 else np.where(folds_N == 0, 0, -1)


def _validation(labels: NDArray[Any], groups: NDArray[np.int64], settings: FoldSettings) -> NDArray[np.int64]:
    """Indexes of the rows that choose."""
    num = min(max(2, round(1 / settings.validation)), len(set(groups.tolist())))
    if num < 2:
        return np.zeros(0, np.int64)
    return np.flatnonzero(_stratified(labels, groups, num, settings.seed + 1) == 0).astype(np.int64)


def _stratified(labels: NDArray[Any], groups: NDArray[np.int64], num: int, seed: int) -> NDArray[np.int64]:
    """Fold of each row."""
    from sklearn.model_selection import StratifiedGroupKFold

    # Rare strata are joined, and with the most frequent one where they are too few still: scikit-learn wants as many rows as folds.
    counts = Counter(labels.tolist())
    rare = {label for label, number in counts.items() if number < num}
    if sum(counts[label] for label in rare) < num and len(rare) < len(counts):
        common = max(sorted(counts), key=counts.__getitem__)
        joined = [common if label in rare else label for label in labels.tolist()]
    else:
        joined = ["rare" if label in rare else label for label in labels.tolist()]
    codes_N = np.unique(joined, return_inverse=True)[1]
    folds_N = np.zeros(len(labels), np.int64)
    splitter = StratifiedGroupKFold(n_splits=num, shuffle=True, random_state=seed)
    for fold, (_, test_M) in enumerate(splitter.split(np.zeros(len(labels)), codes_N, groups)):
        folds_N[test_M] = fold
    return folds_N


def table_of(folds: Folds, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, int]]:
    """By fold: frames and targets of each part."""
    tables = []
    for fold in range(folds.num):
        counts: Counter[str] = Counter()
        for row in rows:
            part = folds.part_of(fold, row["sample_id"])
            counts[part] += 1
            counts[f"{part}_targets"] += sum(label != _UNLABELLED for label in row["labels"])
        tables.append({name: counts[name] for part in PARTS for name in (part, f"{part}_targets")})
    return tables
