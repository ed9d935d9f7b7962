"""SIGHUP, or another version in production: read the settings again and exchange networks, least scores and filters that changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from contracts.errors import IrstreamError
from deploy.settings.weak_scores import with_weak_boxes

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings

_MODELS = {"models", "batching"}
_RULES = {"alerts", "sensors"}
_SHADOW = {"shadow"}
_WHILE_RUNNING = _MODELS | _RULES | _SHADOW


class Reload:
    """Handler of SIGHUP; the work is done in a thread, one at a time."""

    def __init__(
        self,
        settings: AppSettings,
        again: Callable[[], AppSettings],
        deploy: Callable[[AppSettings], None],
        exchange_rules: Callable[[AppSettings], None],
        say: Callable[[str], None],
        exchange_shadow: Callable[[AppSettings], None] = lambda taken: None,
    ) -> None:
        """Nothing is read before a signal.

        Args:
            settings: what runs now.
            again: reads the settings as the command did at its start.
            deploy: has these models run.
            exchange_rules: has these least scores and filters hold.
            say: called with the outcome of each exchange.
            exchange_shadow: has this candidate work beside production, or none; returns at once.
        """
        self._settings = settings
        self._again = again
        self._deploy = deploy
        self._exchange_rules = exchange_rules
        self._say = say
        self._exchange_shadow = exchange_shadow
        self._busy = threading.Lock()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Start an exchange; while one is under way, a signal only gets a message."""
        if not self.start("SIGHUP"):
            self._say("SIGHUP: the last one is still under way")

    def start(self, why: str) -> bool:
        """Start an exchange; false while one is under way.

        Args:
            why: begins each message about it.
        """
        if not self._busy.acquire(blocking=False):
            return False
        threading.Thread(target=self._work, args=(why,), name="reload", daemon=True).start()
        return True

    def _work(self, why: str) -> None:
        try:
            self._say(f"{why}: {self._exchange(why)}")
        except IrstreamError as error:
            self._say(f"{why}: nothing changed: {error}")
        finally:
            self._busy.release()

    def _exchange(self, why: str) -> str:
        wanted = self._again()
        changed = {name for name in type(wanted).model_fields if getattr(wanted, name) != getattr(self._settings, name)}
        later = f"; {', '.join(sorted(changed - _WHILE_RUNNING))} at the next start" if changed - _WHILE_RUNNING else ""
        if not changed & _WHILE_RUNNING:
            return f"no model, least score, filter or shadow changed{later}"
        taken = self._settings.model_copy(update={name: getattr(wanted, name) for name in _WHILE_RUNNING})
        done = []
        if changed & _MODELS:
            self._say(f"{why}: loading the changed models beside the running ones")
            self._deploy(taken)
            done.append("the changed models are at work")
        elif changed & _RULES and with_weak_boxes(taken) != with_weak_boxes(self._settings):
            self._deploy(taken)  # a sensor wants weaker boxes of the detector
        if changed & (_RULES | _MODELS):
            self._exchange_rules(taken)
        if changed & _RULES:
            done.append("the changed least scores and filters hold")
        if changed & _SHADOW:
            self._exchange_shadow(taken)
            done.append("the shadow is exchanged")
        self._settings = taken
        return f"{', '.join(done)}{later}"


class RegistryWatch:
    """Looks now and then which versions are in production, and starts an exchange when they are others."""

    def __init__(
        self, known: object, look: Callable[[], object], start: Callable[[str], bool], say: Callable[[str], None], poll_s: float
    ) -> None:
        """Nothing is looked at yet.

        Args:
            known: what is at work now, as `look` gave it before that was loaded.
            look: gives what is in production, to be compared.
            start: starts an exchange; false while one is under way.
            say: called once with an error of `look`, until it is another one.
            poll_s: between two looks.
        """
        self._look, self._start, self._say, self._poll_s = look, start, say, poll_s
        self._known, self._error, self._stop = known, "", threading.Event()

    def once(self) -> None:
        """Look once."""
        try:
            now = self._look()
        except IrstreamError as error:
            if str(error) != self._error:
                self._error = str(error)
                self._say(f"registry: {error}")
            return
        self._error = ""
        # An exchange that is under way may have read the old ones: look again.
        if now != self._known and self._start("registry"):
            self._known = now

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look from time to time while the block runs."""

        def work() -> None:
            while not self._stop.wait(self._poll_s):
                self.once()

        threading.Thread(target=work, name="registry", daemon=True).start()
        try:
            yield
        finally:
            self._stop.set()
