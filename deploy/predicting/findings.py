"""A data set of what detector and segmenter find in labelled frames, to teach and measure classifiers (`irstream dataset findings`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Band, Platform
from contracts.result import Detection, FrameResult
from pipeline.inputs.pictures import Unusable
from pipeline.predict import Answered
from training.data.findings import FORMAT, label_findings
from training.data.importing import ImportReport, SetWriter
from training.data.labelled_frame import LabelledFrame, boxes_of_row
from training.data.parquet_set import iterate_rows, require_parquet_set
from training.data.sources.annotation import RefusedAnnotation


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsRequest:
    """A data set of findings that is wanted.

    Attributes:
        folder: labelled frames in Parquet.
        name: of the new set.
        with_missed: also true boxes of targets that nothing was found on.
        models: name and weights of the two networks, for the manifest.
        min_score: least score of a finding.
        limit: frames that the networks look at, in the order of the set, which is mixed; the others keep their true boxes, where these
            are wanted. None: all.
    """

    folder: Path
    name: str
    with_missed: bool
    models: Mapping[str, str]
    min_score: float
    limit: int | None = None

    def plain(self) -> dict[str, Any]:
        """All that decides about the data set, as JSON holds it."""
        manifest = require_parquet_set(self.folder)
        defaults = {"models": dict(self.models), "with_missed": self.with_missed, "min_score": self.min_score}
        defaults |= {} if self.limit is None else {"limit": self.limit}
        return {"format": FORMAT, "source": manifest["content_hash"], "dataset": self.name, "defaults": defaults}


def write_findings(
    request: FindingsRequest, out: Path, answers: Iterator[Answered | Unusable], report: Callable[[int, int], None] = lambda done, of: None
) -> tuple[ImportReport, Counter[str]]:
    """Write the set; the same request goes on where it was killed, but looks at all frames again.

    Args:
        request: what is wanted.
        out: folder.
        answers: of the networks to the frames of the folder, in any order.
        report: gets frames looked at, and all.

    Returns:
        What came of the frames, and how many boxes are of found targets, missed ones and false alarms; dropped findings.

    Raises:
        SettingsError: no such data set, or `out` holds another one.
    """
    frames = int(require_parquet_set(request.folder)["frames"])
    of = frames if request.limit is None else min(request.limit, frames)
    writer, counts = SetWriter(out, request.plain()), Counter[str]()
    found: dict[str, tuple[Detection, ...]] = {}
    for entry in answers:
        if isinstance(entry, Answered) and isinstance(entry.outcome, FrameResult):
            found[entry.outcome.frame_id] = entry.outcome.sure
            report(len(found), of)
    for row in iterate_rows(request.folder):
        name = row["sample_id"]
        if name in writer.done:
            continue
        if request.limit is not None and name not in found:
            if request.with_missed:
                counts["not looked at"] += len(row["labels"])
                writer.add(_as_labelled(row, request.name))
            continue
        if name not in found:
            writer.refuse(name, RefusedAnnotation("not_computed", "expected an answer of the networks, got none: the frame was rejected"))
            continue
        frame, of_frame = _frame(row, found[name], request)
        counts.update(of_frame)
        writer.add(frame)
    return writer.finish(), counts


def _as_labelled(row: Mapping[str, Any], name: str) -> LabelledFrame:
    """A frame that the networks did not see, with its true boxes."""
    labels = tuple(row["labels"])
    return _of_row(row, name, boxes_of_row(row), labels, {"origins": ["not looked at"] * len(labels)})


def _frame(row: Mapping[str, Any], detections: tuple[Detection, ...], request: FindingsRequest) -> tuple[LabelledFrame, Counter[str]]:
    boxes = [(each.x_min_px, each.y_min_px, each.x_max_px, each.y_max_px) for each in detections]
    labelled = label_findings(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([each.score for each in detections], np.float32),
        boxes_of_row(row),
        row["labels"],
        with_missed=request.with_missed,
    )
    extra = {"origins": list(labelled.origins), "dropped": labelled.dropped}
    frame = _of_row(row, request.name, labelled.boxes_xyxy_px, labelled.labels, extra)
    return frame, labelled.counts + Counter({"dropped": labelled.dropped})


def _of_row(
    row: Mapping[str, Any], dataset: str, boxes_xyxy_px: NDArray[np.float32], labels: tuple[str, ...], extra: Mapping[str, Any]
) -> LabelledFrame:
    kept = ("sample_id", "source_file", "licence", "image", "image_sha256", "content_type", "width_px", "height_px", "bit_depth")
    return LabelledFrame(
        **{name: row[name] for name in (*kept, "group_id", "split", "thumbnail")},
        dataset=dataset,
        nodata=tuple(row["nodata"]),
        platform=Platform(row["platform"]),
        band=Band(row["band"]),
        mask_rle=None,
        boxes_xyxy_px=boxes_xyxy_px,
        labels=labels,
        boxes_drawn=True,
        extra=extra,
    )
