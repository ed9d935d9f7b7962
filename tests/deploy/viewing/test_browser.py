"""The page in a real browser: what is drawn is where the row says, and text of strangers is text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from contracts.limits import InputLimits
from deploy.settings.app_settings import load_settings
from deploy.viewing.access import Gate
from deploy.viewing.history import History
from deploy.viewing.memory_feeds import MemoryLog, MemoryRows, MemoryTail
from deploy.viewing.past import Past
from deploy.viewing.server import Page, application
from deploy.viewing.wall import Wall
from deploy.viewing.watcher import Watcher
from deploy.viewing.zones import ZoneEditor
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


def served_page(past: Past | None = None) -> AbstractContextManager[str]:
    log = MemoryLog()
    wall = shown_wall()
    watcher = Watcher(wall, lambda: MemoryTail(log, ["frames"], 1), None, MemoryRows())
    return served(application(Page(wall, watcher, InputLimits(), Gate(None, False, 1), {"run_id": "live"}, past)))


def test_boxes_lie_where_the_row_says_and_names_are_text(tab: Tab) -> None:
    with served_page() as address:
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


def test_a_zone_is_where_the_mouse_drew_it(tab: Tab, tmp_path: Path) -> None:
    config = tmp_path / "ray_config.yaml"
    config.write_text("applications: [{import_path: deploy.app:build, args: {alerts: {zones: {lamp: {rectangle_px: [0, 0, 9, 9]}}}}}]")

    def nothing(_: object) -> NoReturn:
        raise AssertionError("nobody asked for it")

    past = Past(History(str(tmp_path), {}, "live"), ZoneEditor(lambda: load_settings(config), config), nothing, nothing, True)
    with served_page(past) as address:
        tab.open(f"{address}/#/sensor/1")
        tab.wait("document.querySelector('#sensor-view canvas.grey')?.width === 320")
        tab.get("document.querySelector('.zone-panel button').click()")
        left, top, width, height = tab.get(
            "(({left, top, width, height}) => [left, top, width, height])(document.querySelector('canvas.zones').getBoundingClientRect())"
        )
        corner, opposite = (left + width * 0.75, top + height * 0.5), (left + width * 0.25, top + height * 0.25)
        tab.drag(corner, (left + width * 0.5, top + height * 0.4), opposite)
        edges = tab.get("[...document.querySelectorAll('.zone-form input[type=number]')].map((each) => Number(each.value))")
        assert edges == [WIDTH * 0.25, HEIGHT * 0.25, WIDTH * 0.75, HEIGHT * 0.5]
        assert tab.get("document.querySelector('.zone-form input').value") == "zone-1"
