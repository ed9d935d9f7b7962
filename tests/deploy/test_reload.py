"""SIGHUP exchanges what can be exchanged while frames flow, and says what cannot."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from contracts.errors import SettingsError
from deploy.reload import RegistryWatch, Reload
from deploy.settings.app_settings import AppSettings, settings_from_args
from deploy.settings.production import in_production, production_digests
from models.versions import Versions
from models.weights import WEIGHTS_FOLDER

WAIT_S = 120.0  # only against waiting for ever


class Told:
    """What was said and deployed; each signal ends with one last word."""

    def __init__(self, now: dict[str, Any], later: dict[str, Any] | Exception) -> None:
        self.said: list[str] = []
        self.deployed: list[AppSettings] = []
        self.later = later
        self.heard = threading.Condition()
        self.rules: list[AppSettings] = []
        self.reload = Reload(settings_from_args(now), self.again, self.deployed.append, self.rules.append, self.say)

    def again(self) -> AppSettings:
        if isinstance(self.later, Exception):
            raise self.later
        return settings_from_args(self.later)

    def say(self, text: str) -> None:
        with self.heard:
            self.said.append(text)
            self.heard.notify_all()

    def hang_up(self) -> str:
        with self.heard:
            self.reload.on_signal(signal.SIGHUP, None)
            assert self.heard.wait_for(lambda: self.said and not self.said[-1].startswith("SIGHUP: loading"), WAIT_S)
        until_done()  # or the next signal is told that the last one is still under way
        return self.said.pop()


def until_done() -> None:
    """Wait for the end of the exchange that is under way."""
    for thread in threading.enumerate():
        if thread.name == "reload":
            thread.join(WAIT_S)


def test_a_changed_model_is_deployed_and_the_rest_waits_for_the_next_start() -> None:
    told = Told({}, {"models": {"segmenter": {"model": "unet_light"}}, "sink": {"table": "elsewhere"}})
    assert told.hang_up() == "SIGHUP: the changed models are at work; sink at the next start"
    (deployed,) = told.deployed
    assert (deployed.models.segmenter.model, deployed.sink.table) == ("unet_light", AppSettings().sink.table)


def test_changed_filters_hold_without_a_word_to_the_models() -> None:
    later: dict[str, Any] = {"sensors": {"mast-1": {"alerts": {"min_score": 0.9}}}, "stream": {"min_score": 0.5}}
    told = Told({}, later)
    assert told.hang_up() == "SIGHUP: the changed least scores and filters hold; stream at the next start"
    assert told.deployed == []
    (taken,) = told.rules
    assert (taken.sensors["mast-1"].alerts.min_score, taken.stream.min_score) == (0.9, 0.05)
    assert told.hang_up() == "SIGHUP: no model, least score, filter or shadow changed; stream at the next start"
    told.later = {"models": {"segmenter": {"model": "unet_light"}}}
    assert told.hang_up() == "SIGHUP: the changed models are at work, the changed least scores and filters hold"


def test_settings_that_are_as_before_deploy_nothing() -> None:
    told = Told({}, {})
    assert told.hang_up() == "SIGHUP: no model, least score, filter or shadow changed"
    assert told.deployed == []


def test_settings_that_are_wrong_change_nothing() -> None:
    told = Told({}, SettingsError(expected="a number", got="'x'", where="ray_config.yaml:3", action="Correct it."))
    assert told.hang_up().startswith("SIGHUP: nothing changed: ray_config.yaml:3: expected a number")
    assert told.deployed == []


def test_a_version_that_is_promoted_goes_to_work_by_itself_and_a_rollback_takes_it_back(tmp_path: Path) -> None:
    settings, versions = settings_from_args({"registry": {"folder": str(tmp_path)}}), Versions(tmp_path, "segmenter")
    deployed, said = list[AppSettings](), list[str]()
    reload = Reload(settings, lambda: in_production(settings), deployed.append, lambda taken: None, said.append)
    watch = RegistryWatch(
        production_digests(settings.registry), lambda: production_digests(settings.registry), reload.start, said.append, 60.0
    )

    def look() -> list[str | None]:
        watch.once()
        until_done()
        return [each.models.segmenter.weights for each in deployed]

    assert look() == []
    digest = versions.add(WEIGHTS_FOLDER / "acm.safetensors").digest
    versions.promote(digest, None, [], {})
    weights = str(versions.weights_of(digest))
    assert look() == look() == [weights]
    assert said[-1] == "registry: the changed models are at work"
    versions.roll_back()
    assert look() == [weights, settings.models.segmenter.weights]
    (tmp_path / "segmenter" / "production.json").write_text("{")
    assert look() == look() == [weights, None]
    assert sum("expected a file that irstream wrote" in each for each in said) == 1
