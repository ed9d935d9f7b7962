"""SIGHUP: read the settings again and exchange the networks, least scores and filters that changed, while frames flow."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from contracts.errors import IrstreamError

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings

_MODELS = {"models", "batching"}
_RULES = {"alerts", "sensors"}
_WHILE_RUNNING = _MODELS | _RULES


class Reload:
    """Handler of SIGHUP; the work is done in a thread, one at a time."""

    def __init__(
        self,
        settings: AppSettings,
        again: Callable[[], AppSettings],
        deploy: Callable[[AppSettings], None],
        exchange_rules: Callable[[AppSettings], None],
        say: Callable[[str], None],
    ) -> None:
        """Nothing is read before a signal.

        Args:
            settings: what runs now.
            again: reads the settings as the command did at its start.
            deploy: has these models run.
            exchange_rules: has these least scores and filters hold.
            say: called with the outcome of each exchange.
        """
        self._settings = settings
        self._again = again
        self._deploy = deploy
        self._exchange_rules = exchange_rules
        self._say = say
        self._busy = threading.Lock()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Start an exchange; while one is under way, a signal only gets a message."""
        if not self._busy.acquire(blocking=False):
            self._say("SIGHUP: the last one is still under way")
            return
        threading.Thread(target=self._work, name="reload", daemon=True).start()

    def _work(self) -> None:
        try:
            self._say(self._exchange())
        except IrstreamError as error:
            self._say(f"SIGHUP: nothing changed: {error}")
        finally:
            self._busy.release()

    def _exchange(self) -> str:
        wanted = self._again()
        changed = {name for name in type(wanted).model_fields if getattr(wanted, name) != getattr(self._settings, name)}
        later = f"; {', '.join(sorted(changed - _WHILE_RUNNING))} at the next start" if changed - _WHILE_RUNNING else ""
        if not changed & _WHILE_RUNNING:
            return f"SIGHUP: no model, least score or filter changed{later}"
        taken = self._settings.model_copy(update={name: getattr(wanted, name) for name in _WHILE_RUNNING})
        done = []
        if changed & _MODELS:
            self._say("SIGHUP: loading the changed models beside the running ones")
            self._deploy(taken)
            done.append("the changed models are at work")
        if changed & _RULES:
            self._exchange_rules(taken)
            done.append("the changed least scores and filters hold")
        self._settings = taken
        return f"SIGHUP: {', '.join(done)}{later}"
