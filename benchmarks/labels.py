"""Loose labels and half-maximum boxes of a data set: how many, how large, and a sheet of both, drawn.

`python -m benchmarks.labels drone-ir --sheet sheet.png`: benchmarks/2026-11-labels.md.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.samples import Role, Sample, read_samples

_SIDE_PX, _COLUMNS, _ROWS = 120, 10, 5
_LABEL, _TIGHT = (80, 80, 255), (80, 255, 80)  # blue, green, red


def figures(samples: Sequence[Sample]) -> list[str]:
    """Rows of a table by class: labels, those with a half-maximum box, and how its side compares with the label's."""
    shares, counts = defaultdict[str, list[float]](list), defaultdict[str, int](int)
    for sample in samples:
        areas_N2 = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (sample.tight_boxes_xyxy_px, sample.boxes_xyxy_px)]
        for label, tight_px2, label_px2, loose in zip(sample.labels, *areas_N2, sample.loose_N, strict=True):
            counts[label] += 1
            shares[label] += [] if loose else [float(np.sqrt(tight_px2 / label_px2))]
    rows = []
    for label, num in sorted(counts.items()):
        low, middle, high = np.quantile(shares[label], [0.05, 0.5, 0.95])
        rows.append(f"| {label} | {num} | {len(shares[label])} | {low:.2f} | {middle:.2f} | {high:.2f} |")
    return rows


def sheet(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """Every so many images around their first label, enlarged: labels red, half-maximum boxes green."""
    chosen = samples[:: max(1, len(samples) // (_COLUMNS * _ROWS))][: _COLUMNS * _ROWS]
    tiles = [_tile(sample) for sample in chosen]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    return np.vstack([np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)])


def _tile(sample: Sample) -> NDArray[np.uint8]:
    label_4, tight_4 = sample.boxes_xyxy_px[0], sample.tight_boxes_xyxy_px[0]
    side = max(20, int(1.6 * (label_4[2:] - label_4[:2]).max()))
    left, top = ((label_4[:2] + label_4[2:]) / 2 - side / 2).astype(int)
    wide = cv2.copyMakeBorder(sample.pixels_HW.astype(np.float32), side, side, side, side, cv2.BORDER_REPLICATE)
    patch = wide[top + side : top + 2 * side, left + side : left + 2 * side]
    grey = ((patch - patch.min()) * (255 / max(1.0, float(np.ptp(patch))))).astype(np.uint8)
    tile = cv2.cvtColor(cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)
    for box_4, colour in ((label_4, _LABEL), (tight_4, _TIGHT))[: 1 if sample.loose_N[0] else 2]:
        corners = ((box_4 - np.array([left, top, left, top])) * (_SIDE_PX / side)).astype(int).tolist()
        cv2.rectangle(tile, corners[:2], corners[2:], colour, 1)
    return np.asarray(tile, np.uint8)


def main() -> None:
    """Print the table, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    samples = [sample for role in Role for sample in read_samples([arguments.dataset], role) if len(sample.boxes_xyxy_px)]
    print("\n".join(figures(samples)))
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), sheet(samples))


if __name__ == "__main__":
    main()
