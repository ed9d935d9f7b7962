"""The page in a real browser: what is drawn is where the row says, and text of strangers is text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from contracts.limits import InputLimits
from deploy.viewing.access import Gate
from deploy.viewing.memory_feeds import MemoryLog, MemoryRows, MemoryTail
from deploy.viewing.server import Page, application
from deploy.viewing.wall import Wall
from deploy.viewing.watcher import Watcher
from tests.browser import Tab, browser, find_browser
from tests.deploy.viewing.messages import record, row, sight
from tests.deploy.viewing.served import served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium here: apt-get install chromium"),
]
EVIL = '<img src=x onerror="document.title=1"><b>dome</b>'
WIDTH, HEIGHT = 320, 256
BOX = (96, 64, 160, 128)
# Edges of what is drawn in the colour of targets on the overlay, in pixels of the sensor's frame.
DRAWN = """(() => {
  const canvas = [...document.querySelectorAll('.tile')].find((tile) => tile.textContent.includes('cam-1')).querySelector('canvas.overlay');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const found = {left: 1e9, top: 1e9, right: -1, bottom: -1};
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] < 240 || data[at + 1] < 150 || data[at + 1] > 200 || data[at + 2] > 40 || data[at + 3] < 200) continue;
    const x = (at / 4) % canvas.width, y = Math.floor(at / 4 / canvas.width);
    found.left = Math.min(found.left, x); found.right = Math.max(found.right, x + 1);
    found.top = Math.min(found.top, y); found.bottom = Math.max(found.bottom, y + 1);
  }
  const [across, down] = [320 / canvas.width, 256 / canvas.height];
  return [found.left * across, found.top * down, found.right * across, found.bottom * down];
})()"""
GREYS = """(() => {
  const canvas = [...document.querySelectorAll('.tile')].find((tile) => tile.textContent.includes('cam-1')).querySelector('canvas.grey');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const grey = (x, y) => data[4 * (y * canvas.width + x)];
  return [canvas.width, canvas.height, grey(128, 96), grey(10, 10)];
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def shown_wall() -> Wall:
    """A camera with one target in a frame of 14 bits, and one whose name is markup."""
    now = datetime.now(UTC)
    wall = Wall("live", InputLimits())
    pixels_HW = np.full((HEIGHT, WIDTH), 3000, np.uint16)
    pixels_HW[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 9000
    mask_HW = np.asfortranarray((pixels_HW > 5000).astype(np.uint8))
    target = replace(
        sight("frames/0/0#0", 128, 96),
        x_min_px=BOX[0],
        y_min_px=BOX[1],
        x_max_px=BOX[2],
        y_max_px=BOX[3],
        mask_rle=coco_mask.encode(mask_HW)["counts"].decode(),
    )
    wall.add_frames([record(0, "cam-1", pixels_HW, now), record(1, EVIL, pixels_HW, now)])
    wall.add_rows([replace(row(0, "cam-1", target, at=now), width_px=WIDTH, height_px=HEIGHT)])
    wall.tick()
    return wall


def test_boxes_lie_where_the_row_says_and_names_are_text(tab: Tab, tmp_path: Path) -> None:
    wall, log = shown_wall(), MemoryLog()
    watcher = Watcher(wall, lambda: MemoryTail(log, ["frames"], 1), None, MemoryRows())
    with served(application(Page(wall, watcher, InputLimits(), Gate(None, False, 1), {"run_id": "live"}))) as address:
        tab.open(address)
        tab.wait("[...document.querySelectorAll('canvas.grey')].filter((each) => each.width === 320).length === 2")
        drawn = tab.wait(f"(() => {{ const found = {DRAWN}; return found[2] > 0 && found; }})()")
        # A line of 1.75 pixels of the page runs just outside the box.
        assert drawn == pytest.approx(BOX, abs=3)
        width, height, target, ground = tab.get(GREYS)
        assert (width, height, target, ground) == (WIDTH, HEIGHT, 255, 0)
        assert EVIL in tab.get("[...document.querySelectorAll('.tile .name')].map((each) => each.textContent).join('|')")
        assert tab.get("document.querySelectorAll('.tile img, .tile b').length") == 0
        assert "1 target: drone" in tab.get("[...document.querySelectorAll('.tile')].map((each) => each.ariaLabel).join('|')")
        assert tab.console == []
