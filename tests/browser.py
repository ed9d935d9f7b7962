"""A headless Chromium, driven by its DevTools protocol: enough to open a page, look at it, and use mouse and keys."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_GUARD_S = 60.0


def find_browser() -> str | None:
    """Path of a Chromium; None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page. Waits for what is asked, at most a minute."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.console: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser, and give its answer."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(_GUARD_S))
            self._note(answer)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _note(self, answer: dict[str, Any]) -> None:
        """Complaints of the page: exceptions, and what its policy forbids."""
        if answer.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(answer["params"]["exceptionDetails"])[:500])
        if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
            self.console.append(answer["params"]["entry"]["text"] + " " + answer["params"]["entry"].get("url", ""))

    def open(self, url: str, width: int = 1280, height: int = 800, *, dark: bool = False, mobile: bool = False) -> None:
        """Go to a page."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def get(self, expression: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of an expression as soon as it is true; true for an element, which has no value outside."""
        end, asked = time.monotonic() + _GUARD_S, f"(() => {{ const found = {expression}; return found instanceof Node || found; }})()"
        while not (value := self.get(asked)):
            assert time.monotonic() < end, f"never true: {expression}; {self.console}"
            time.sleep(0.1)
        return value

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point, move over the others, let go."""
        (x, y), *others = points
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.send("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)
        for x, y in others:
            self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, buttons=1)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key by its name, as `ArrowRight`."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """Write what can be seen as a PNG."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        file.write_bytes(base64.b64decode(data))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A Chromium of its own, with its files in a folder."""
    path = find_browser()
    assert path is not None
    # Rendering by CPU; --no-sandbox: in containers its sandbox cannot be built, and it opens our own page only.
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--mute-audio"]
    command = [path, *options, *quiet, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_target(folder, process), max_size=None, open_timeout=_GUARD_S) as connection:
                yield Tab(connection)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _target(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Address of the browser's first tab."""
    from urllib.request import urlopen

    file, end = folder / "DevToolsActivePort", time.monotonic() + _GUARD_S
    while time.monotonic() < end and process.poll() is None:
        if file.exists() and "\n" in (text := file.read_text()):
            with urlopen(f"http://127.0.0.1:{text.splitlines()[0]}/json", timeout=_GUARD_S) as answer:
                tabs = [each for each in json.load(answer) if each["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError("Chromium did not open a tab")
