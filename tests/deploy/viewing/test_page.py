"""The page's answers, without a network: who may come in, what is said, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import SettingsError
from contracts.limits import InputLimits
from deploy.settings.view import ViewSettings
from deploy.viewing.access import App, Gate
from deploy.viewing.memory_feeds import MemoryLog, MemoryRows, MemoryTail
from deploy.viewing.serve import token_of
from deploy.viewing.server import Page, application
from deploy.viewing.wall import Wall
from deploy.viewing.watcher import Watcher
from pipeline.kafka.memory_topic import Message
from tests.deploy.viewing.asgi import ask
from tests.deploy.viewing.messages import record, row, sight

TOKEN = "a-token-that-nobody-guesses"
EVIL = "<img src=x onerror=alert(1)>"


def page(token: str | None = None) -> tuple[App, Wall]:
    log = MemoryLog()
    wall = Wall("live", InputLimits(min_side_px=1))
    watcher = Watcher(wall, lambda: MemoryTail(log, ["frames"], 64), None, MemoryRows())
    return application(Page(wall, watcher, InputLimits(min_side_px=1), Gate(token, False, 8765), {"run_id": "live"})), wall


def test_the_token_lets_in_once_and_the_cookie_from_then_on() -> None:
    app, _ = page(TOKEN)
    assert ask(app, "/api/about").status == 401
    assert ask(app, "/").headers["location"] == "/login"
    assert "set-cookie" not in ask(app, "/?token=wrong").headers
    entered = ask(app, f"/?token={TOKEN}")
    assert (entered.status, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert ask(app, "/api/about", cookie=cookie.split(";")[0]).json() == {"run_id": "live"}
    assert ask(app, "/api/about", authorization=f"Bearer {TOKEN}").status == 200
    assert ask(app, "/api/about", cookie=f"irstream-view-8765={'0' * 64}").status == 401
    typed = ask(app, "/login", f"token={TOKEN}".encode(), content_type="application/x-www-form-urlencoded")
    assert typed.headers["set-cookie"] == cookie


def test_without_a_token_only_names_of_this_machine_are_answered() -> None:
    """The page of another site that has this machine's address for its name gets nothing."""
    app, _ = page()
    assert ask(app, "/api/about").status == 200
    assert ask(app, "/api/about", host="evil.example:8765").status == 421


def test_other_sites_may_change_nothing() -> None:
    app, _ = page()
    assert ask(app, "/api/frames", {"want": []}, origin="http://evil.example").status == 403
    assert ask(app, "/api/frames", {"want": []}, origin="null").status == 403
    assert ask(app, "/api/frames", {"want": []}, sec_fetch_site="cross-site").status == 403
    assert ask(app, "/api/frames", {"want": []}, origin="http://127.0.0.1:8765").status == 200


def test_nothing_comes_from_outside() -> None:
    """A browser that keeps the policy loads our own files only and takes no text for markup."""
    app, _ = page()
    policy = ask(app, "/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    static = Path(__file__).parents[3] / "deploy" / "viewing" / "static"
    texts = {file.name: file.read_text() for file in static.iterdir()}
    outside = [name for name, text in texts.items() if "://" in text.replace("http://www.w3.org/2000/svg", "")]
    markup = [
        name
        for name, text in texts.items()
        if any(word in text for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "style="))
    ]
    assert (outside, markup) == ([], [])
    for name in texts:
        assert ask(app, f"/static/{name}").status == 200
    assert ask(app, "/static/../access.py").status == 404


def test_changes_are_pushed_and_text_of_strangers_is_only_text() -> None:
    app, wall = page()
    wall.add_frames([record(0, EVIL)])
    pushed = ask(app, "/api/changes", until=b"\n\n")
    assert pushed.headers["content-type"].startswith("text/event-stream")
    assert pushed.headers["x-content-type-options"] == "nosniff"
    (sensor,) = json.loads(pushed.body.split(b"data: ")[1])["sensors"]
    assert sensor["id"] == EVIL


def test_frames_come_with_their_rows_and_only_newer_ones() -> None:
    app, wall = page()
    pixels_HW = np.arange(80, dtype=np.uint16).reshape(8, 10) * 800
    wall.add_frames([record(0, pixels_HW=pixels_HW)])
    wall.add_rows([row(0, "cam-1", sight("t", 4, 5), sight("u", 2, 2, "display"))])
    wall.tick()
    body = ask(app, "/api/frames", {"side": 100, "want": [[1, 0], [99, 0]]}).body
    length = int.from_bytes(body[:4], "little")
    (frame,) = json.loads(body[4 : 4 + length])["frames"]
    assert (frame["position"], frame["row"]["position"], frame["dtype"]) == ("frames/0/0", "frames/0/0", "uint16")
    assert [each["box"] for each in frame["row"]["detections"]] == [[3, 4, 5, 6], [1, 1, 3, 3]]
    assert [each["suppressed_by"] for each in frame["row"]["detections"]] == [None, "display"]
    again = ask(app, "/api/frames", {"want": [[1, frame["version"]]]}).body
    assert json.loads(again[4:])["frames"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [({"want": "all"}, 400), ([1], 400), (b"no json", 400), ({"want": [["x", 1]]}, 400), (b"[" * 50_000, 400), (b" " * 70_000, 413)],
    ids=lambda each: str(each)[:12],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(body: Any, status: int) -> None:
    app, _ = page()
    assert ask(app, "/api/frames", body, content_type="application/json").status == status


def test_feeds_run_while_somebody_looks() -> None:
    log, rows = MemoryLog(), MemoryRows()
    wall = Wall("live", InputLimits(min_side_px=1))
    opened = []

    def open_frames() -> MemoryTail:
        opened.append(MemoryTail(log, ["frames"], 64))
        return opened[-1]

    watcher = Watcher(wall, open_frames, None, rows)
    app = application(Page(wall, watcher, InputLimits(), Gate(None, False, 1), {}))
    sent = record(0)
    log.append("frames", 0, [Message(sent.key, sent.value, sent.headers, sent.timestamp_ms)])
    assert opened == []
    assert b'"cam-1"' in ask(app, "/api/changes", until=b'"cam-1"').body
    assert len(opened) == 1
    watcher.close()
    assert watcher.num_watching == 0


def test_a_page_for_other_machines_needs_a_token(tmp_path: Path) -> None:
    assert token_of(ViewSettings(anybody=True)) is None
    assert len(token_of(ViewSettings()) or "") > 40
    with pytest.raises(SettingsError, match="other machines can reach"):
        token_of(ViewSettings(anybody=True, host="0.0.0.0"))
    file = tmp_path / "token"
    file.write_text("short\n")
    with pytest.raises(SettingsError, match="16 characters"):
        token_of(ViewSettings(token_file=str(file)))
    file.write_text(TOKEN + "\n")
    assert token_of(ViewSettings(token_file=str(file))) == TOKEN
