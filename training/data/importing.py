"""Import of a labelled data set into Parquet: streaming, goes on after a kill, and says what it refused and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import SettingsError
from training.data.parquet_set import MANIFEST, REFUSED, PartWriter, data_hash, parts_of, read_table
from training.data.reading import Defaults, read_labelled
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
        refused: by reason, how many.
        examples: by reason, the first of them with its detail.
        content_hash: of images, labels, groups and splits.
    """

    dataset: str
    frames: int = 0
    new: int = 0
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
    _begin(out, {"format": format_name, "source": str(root.resolve()), "dataset": defaults.dataset, "defaults": _plain(defaults)})
    (out / MANIFEST).unlink(missing_ok=True)
    done = set(read_table(out, ["sample_id"])["sample_id"].to_pylist()) if parts_of(out) else set()
    found = ImportReport(dataset=defaults.dataset, frames=len(done))
    writer, refusals, seen = PartWriter(out), list[dict[str, str]](), set[str]()
    for number, each in enumerate(sorted(listed, key=_mixed), start=1):
        try:
            if each.sample_id in seen:
                raise RefusedAnnotation("duplicate_id", f"expected one image of this name, got another one: {each.sample_id}")
            seen.add(each.sample_id)
            if each.sample_id not in done:
                writer.add(read_labelled(_annotation(each), defaults, root))
                found.new += 1
        except RefusedAnnotation as refusal:
            refusals.append({"sample_id": each.sample_id, "reason": refusal.reason, "detail": refusal.detail})
            found.refused[refusal.reason] += 1
            found.examples.setdefault(refusal.reason, f"{each.sample_id}: {refusal.detail}")
        report(number, len(listed))
    writer.flush()
    found.frames += found.new
    found.content_hash = data_hash([out])
    (out / REFUSED).write_text("".join(json.dumps(each) + "\n" for each in refusals), encoding="utf-8")
    _write(out / MANIFEST, _manifest(out, found))
    return found


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


def _mixed(listed: Listed) -> str:
    return hashlib.sha256(listed.sample_id.encode("utf-8", "surrogateescape")).hexdigest()


def _plain(defaults: Defaults) -> dict[str, Any]:
    return {
        "licence": defaults.licence,
        "platform": str(defaults.platform),
        "band": str(defaults.band),
        "bit_depth": defaults.bit_depth,
        "group": defaults.group.pattern if defaults.group else None,
    }


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
