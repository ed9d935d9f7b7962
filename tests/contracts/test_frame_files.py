"""Files of several frames: read once, a page at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from contracts import tiff
from contracts.frame_files import num_frames, read_frames
from contracts.image_files import ImageFile

PAGES, SIDE_PX = 60, 256


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        for number in range(PAGES):
            writer.write(rng.integers(number, 9000, (SIDE_PX, SIDE_PX)).astype(np.uint16), contiguous=False, metadata=None)
    return tmp_path / "stack.tif"


def test_a_stack_is_parsed_once_and_its_pages_are_read_as_they_are_asked_for(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, one = list[int](), tiff._directory

    def counting(value: bytes, at: int, *others: object) -> int:
        parsed.append(at)
        return one(value, at, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(tiff, "_directory", counting)
    frames = read_frames(stack)
    tracemalloc.start()
    first = next(frames)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rest = list(frames)
    assert len(parsed) == PAGES
    assert peak_bytes < stack.stat().st_size / 4
    pages = tifffile.imread(stack, key=range(PAGES))
    for number, frame in enumerate([first, *rest]):
        assert isinstance(frame, ImageFile)
        np.testing.assert_array_equal(frame.pixels_HW, pages[number])
    assert num_frames(stack) == PAGES
