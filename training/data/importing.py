"""Import of a labelled data set into Parquet: streaming, goes on after a kill, and says what it refused and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts.errors import SettingsError
from training.data.labelled_frame import LabelledFrame
from training.data.parquet_set import MANIFEST, REFUSED, PartWriter, data_hash, parts_of, read_table
from training.data.reading import UNSEEN, Defaults, group_of, read_labelled
from training.data.sources.annotation import Annotation, Listed, RefusedAnnotation
from training.data.sources.formats import format_named

_BEGUN = "import.json"


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """Report of an import.

    Attributes:
        dataset: name of the set.
        frames: rows of the data set.
        new: of these, imported now.
        unseen_by_scene: of these, images of other splits that became `unseen` with their scenes.
        refused: by reason, how many.
        examples: by reason, the first of them with its detail.
        content_hash: of images, labels, groups and splits.
    """

    dataset: str
    frames: int = 0
    new: int = 0
    unseen_by_scene: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    content_hash: str = ""


def import_set(
    format_name: str,
    root: Path,
    out: Path,
    defaults: Defaults,
    *,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> ImportReport:
    """Import the images of a folder into `out`; the same call goes on after a kill, and tries again what was refused.

    Rows lie in the order of a hash of their names: who reads them one after the other sees scenes mixed.

    Args:
        format_name: one of `training.data.sources.formats.FORMATS`.
        root: folder or file of the data set.
        out: folder to write.
        defaults: what counts where the data set is silent.
        report: gets images done, and all.

    Raises:
        SettingsError: no such format or path, its lists cannot be read, there is no image, or `out` holds another data set.
    """
    listed = list(format_named(format_name, root).listing(root))
    if not listed:
        raise SettingsError(expected="at least one image", got="none", where=str(root), action="Check format and folder.")
    request = {"format": format_name, "source": str(root.resolve()), "dataset": defaults.dataset, "defaults": _plain(defaults)}
    writer, seen, unseen = SetWriter(out, request), set[str](), _unseen_scenes(listed, defaults)
    for number, each in enumerate(sorted(listed, key=lambda each: mixed(each.sample_id)), start=1):
        try:
            if each.sample_id in seen:
                raise RefusedAnnotation("duplicate_id", f"expected one image of this name, got another one: {each.sample_id}")
            seen.add(each.sample_id)
            if each.sample_id not in writer.done:
                writer.add(_kept_apart(read_labelled(_annotation(each), defaults, root), unseen, writer.found))
        except RefusedAnnotation as refusal:
            writer.refuse(each.sample_id, refusal)
        report(number, len(listed))
    return writer.finish()


class SetWriter:
    """Writes a data set into a folder; the same request goes on where it was killed.

    Attributes:
        done: names of the images that are there already.
        found: what came so far.
    """

    def __init__(self, out: Path, request: dict[str, Any]) -> None:
        """Make the folder, or go on in it.

        Args:
            out: folder.
            request: says what is written, as JSON holds it; `dataset` is its name.

        Raises:
            SettingsError: the folder holds what another request wrote, or something else.
        """
        _begin(out, request)
        (out / MANIFEST).unlink(missing_ok=True)
        self.done = frozenset(read_table(out, ["sample_id"])["sample_id"].to_pylist()) if parts_of(out) else frozenset[str]()
        self._out, self._parts, self._refusals = out, PartWriter(out), list[dict[str, str]]()
        self.found = ImportReport(dataset=str(request["dataset"]), frames=len(self.done))

    def add(self, frame: LabelledFrame) -> None:
        """Write a frame that is not there yet."""
        self._parts.add(frame)
        self.found.new += 1

    def refuse(self, sample_id: str, refusal: RefusedAnnotation) -> None:
        """Keep in mind that an image cannot be used, and why."""
        self._refusals.append({"sample_id": sample_id, "reason": refusal.reason, "detail": refusal.detail})
        self.found.refused[refusal.reason] += 1
        self.found.examples.setdefault(refusal.reason, f"{sample_id}: {refusal.detail}")

    def finish(self) -> ImportReport:
        """Write what is left, the list of refusals, and at last the manifest, which says that the set is whole."""
        self._parts.flush()
        found, out = self.found, self._out
        found.frames += found.new
        found.content_hash = data_hash([out])
        (out / REFUSED).write_text("".join(json.dumps(each) + "\n" for each in self._refusals), encoding="utf-8")
        _write(out / MANIFEST, _manifest(out, found))
        return found


def _unseen_scenes(listed: Sequence[Listed], defaults: Defaults) -> frozenset[str]:
    """Scenes of which an image has a split that no training may see."""
    scenes = set[str]()
    for each in listed if defaults.unseen else ():
        with suppress(RefusedAnnotation):
            annotation = _annotation(each)
            if annotation.split in defaults.unseen:
                scenes.add(group_of(annotation, defaults.group))
    return frozenset(scenes)


def _kept_apart(frame: LabelledFrame, unseen: Collection[str], found: ImportReport) -> LabelledFrame:
    """The frame, `unseen` where its scene is."""
    if frame.split == UNSEEN or frame.group_id not in unseen:
        return frame
    found.unseen_by_scene += 1
    return replace(frame, split=UNSEEN)


def _annotation(listed: Listed) -> Annotation:
    """The annotation of an image; whatever cannot be read of it concerns this image only."""
    try:
        annotation = listed.annotate()
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise RefusedAnnotation("annotation_invalid", f"{type(error).__name__}: {error}") from error
    for name, value, kind in (("split", annotation.split, str), ("bit_depth", annotation.bit_depth, int)):
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise RefusedAnnotation("annotation_invalid", f"expected {name} as {kind.__name__}, got {value!r}")
    return annotation


def mixed(sample_id: str) -> str:
    """Sorting key by which images that follow each other in a recording do not."""
    return hashlib.sha256(sample_id.encode("utf-8", "surrogateescape")).hexdigest()


def _plain(defaults: Defaults) -> dict[str, Any]:
    plain = {
        "licence": defaults.licence,
        "platform": str(defaults.platform),
        "band": str(defaults.band),
        "bit_depth": defaults.bit_depth,
        "group": defaults.group.pattern if defaults.group else None,
    }
    return plain | ({"unseen": list(defaults.unseen)} if defaults.unseen else {})


def _manifest(out: Path, found: ImportReport) -> dict[str, Any]:
    begun: dict[str, Any] = json.loads((out / _BEGUN).read_text(encoding="utf-8"))
    return begun | {"frames": found.frames, "refused": dict(found.refused), "content_hash": found.content_hash}


def _begin(out: Path, request: dict[str, Any]) -> None:
    """Make the folder of this import, or go on in it.

    Raises:
        SettingsError: it holds what another import wrote, or something else.
    """
    path = out / _BEGUN
    out.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != request:
            differing = [name for name in request if before.get(name) != request[name]]
            raise SettingsError(
                expected=", ".join(f"{name} {before.get(name)}" for name in differing) + " as in the import that was begun here",
                got=", ".join(f"{name} {request[name]}" for name in differing),
                where=str(out),
                action="Name another folder; several data sets train together.",
            )
        return
    if any(out.iterdir()):
        raise SettingsError(expected="an empty folder", got="one with files", where=str(out), action="Name another folder.")
    _write(path, request)


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
