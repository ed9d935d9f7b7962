"""Zones drawn on the page: what they would keep quiet in a sensor's last rows, and their way into the settings file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import SettingsError
from contracts.result import FrameResult
from deploy.settings.app_settings import AppSettings, LoadedSettings
from deploy.settings.edit import as_yaml
from deploy.settings.file import find_settings_file
from deploy.settings.own_file import write_changes
from deploy.viewing.shown import text
from pipeline.inference.rules import Filters
from pipeline.sensor_settings import AlertSettings, Zone

_EXAMPLES = 12


class DrawnZone(BaseModel):
    """A zone as the page sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sensor_id: str = Field(min_length=1)
    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")
    zone: Zone

    @classmethod
    def read(cls, asked: dict[str, Any]) -> DrawnZone:
        """From the page's words.

        Raises:
            SettingsError: they describe no zone.
        """
        try:
            drawn = cls.model_validate({name: asked.get(name) for name in ("sensor_id", "name", "zone")})
            AlertSettings(zones={drawn.name: drawn.zone})
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingsError(
                expected="a name and a zone with an area",
                got=text(str(first["msg"])),
                where=".".join(map(str, first["loc"])) or "zone",
                action="Draw it again, or give it another name.",
            ) from error
        return drawn


@dataclass(frozen=True, slots=True)
class Effect:
    """Changes that a zone makes in some rows.

    Attributes:
        num_rows: rows that were looked at.
        num_shown: detections in them that no filter suppresses now, and with the zone.
        num_alerting: frames with such a detection, likewise.
        labels: of the detections that the zone would take away.
        examples: rows with such a detection.
    """

    num_rows: int
    num_shown: tuple[int, int]
    num_alerting: tuple[int, int]
    labels: dict[str, int]
    examples: tuple[str, ...]


class ZoneEditor:
    """Zones of the settings that a command was started with."""

    def __init__(self, load: Callable[[], LoadedSettings], config: Path | None) -> None:
        """Nothing is read yet.

        Args:
            load: the settings as they are now; the file may be changed by others.
            config: the file that was asked for.
        """
        self._load, self._config = load, config

    def zones(self, sensor_id: str) -> dict[str, Zone]:
        """Zones that a sensor has now, by name."""
        return dict(alerts_of(self._load().settings, sensor_id).zones)

    def alerts(self, sensor_id: str) -> AlertSettings:
        """Filters that a sensor has now."""
        return alerts_of(self._load().settings, sensor_id)

    def with_zone(self, drawn: DrawnZone) -> AlertSettings:
        """Filters with the zone.

        Raises:
            SettingsError: there is another zone of this name.
        """
        alerts = self.alerts(drawn.sensor_id)
        if drawn.name in alerts.zones:
            raise SettingsError(
                expected="a new name", got=repr(drawn.name), where=f"zones of {drawn.sensor_id}", action="Give the zone another name."
            )
        return alerts.model_copy(update={"zones": {**alerts.zones, drawn.name: drawn.zone}})

    def changes(self, drawn: DrawnZone) -> dict[str, Any]:
        """The part of the settings that has the zone. Those the sensor has are named again: its own take the place of all others."""
        zones = self.with_zone(drawn).zones
        plain = {name: zone.model_dump(mode="json", exclude_defaults=True) for name, zone in zones.items()}
        return {"sensors": {drawn.sensor_id: {"alerts": {"zones": plain}}}}

    def proposal(self, drawn: DrawnZone) -> dict[str, Any]:
        """Lines for the settings file, the file, and what a confirmation must name."""
        return {"lines": as_yaml(self.changes(drawn)), "file": str(find_settings_file(self._config)), "digest": self._digest(drawn)}

    def write(self, drawn: DrawnZone, digest: str) -> Path:
        """Write the zone as it was confirmed.

        Raises:
            SettingsError: the file has changed since, or cannot be written.
        """
        if digest != self._digest(drawn):
            raise SettingsError(
                expected="the settings file as it was when the zone was shown",
                got="another one",
                where=str(find_settings_file(self._config)),
                action="Look at the zone's effect again, then confirm.",
            )
        return write_changes(self._config, self.changes(drawn))

    def _digest(self, drawn: DrawnZone) -> str:
        file = find_settings_file(self._config)
        return hashlib.sha256(file.read_bytes() + b"\0" + drawn.model_dump_json().encode()).hexdigest()


def alerts_of(settings: AppSettings, sensor_id: str) -> AlertSettings:
    """Filters of one sensor."""
    own = settings.sensors.get(sensor_id)
    return settings.alerts if own is None else own.alerts.over(settings.alerts)


def effect(results: Iterable[FrameResult], now: AlertSettings, then: AlertSettings) -> Effect:
    """Changes that other filters make in some rows. Persistence is left out: it needs the order of all frames.

    Args:
        results: rows, newest first.
        now: filters of now.
        then: the other ones.
    """
    shown, alerting, labels, examples, num = [0, 0], [0, 0], Counter[str](), list[str](), 0
    filters = Filters(now), Filters(then)
    for result in results:
        num += 1
        bare = replace(result, detections=tuple(replace(each, suppressed_by=None) for each in result.sure))
        before, after = (each.marked(bare).detections for each in filters)
        for index, detections in enumerate((before, after)):
            left = sum(each.suppressed_by is None for each in detections)
            shown[index] += left
            alerting[index] += left > 0
        gone = [a.label for a, b in zip(before, after, strict=True) if a.suppressed_by is None and b.suppressed_by is not None]
        labels.update(map(text, gone))
        if gone and len(examples) < _EXAMPLES:
            examples.append(str(result.position))
    return Effect(num, (shown[0], shown[1]), (alerting[0], alerting[1]), dict(labels.most_common()), tuple(examples))
