"""Settings of alerts and of single sensors: what is worth an alert, and where (light import: no ray, no torch)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from contracts.result import CLUTTER, KEPT_BESIDE

OUTSIDE = "outside"
"""Filter that suppresses what lies in none of the zones with `effect: only_here`."""
SHOWN_LABELS, HIDDEN_LABELS = "shown_labels", "hidden_labels"
"""Filters that look at labels."""
Point = tuple[FiniteFloat, FiniteFloat]
Rectangle = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
_SHAPES = ("rectangle_px", "rectangle_fraction", "polygon_px", "polygon_fraction")
_LEAST_CORNERS = 3
# Names that stand in `detection_suppressed_by` for other filters than zones.
_OTHER_FILTERS = frozenset(
    {CLUTTER, *KEPT_BESIDE, OUTSIDE, SHOWN_LABELS, HIDDEN_LABELS, "min_size_px", "max_size_px", "min_score", "persistence"}
)


class Zone(BaseModel):
    """A part of a sensor's frame, by one of four shapes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    effect: Literal["ignore", "only_here"] = Field(
        "ignore",
        description="`ignore`: a detection whose centroid lies in the zone makes no alert; `only_here`: one that lies in no such zone",
    )
    rectangle_px: Rectangle | None = Field(None, description="x_min, y_min, x_max, y_max in pixels of the sensor's frame, edges included")
    rectangle_fraction: Rectangle | None = Field(None, description="the same as fractions of width and height, 0 to 1")
    polygon_px: tuple[Point, ...] | None = Field(None, description="corners [x, y] in pixels of the sensor's frame, three or more")
    polygon_fraction: tuple[Point, ...] | None = Field(None, description="the same as fractions of width and height, 0 to 1")

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        given = [name for name in _SHAPES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(_SHAPES)}, got {' and '.join(given) or 'none of them'}")
        numbers = [number for corner in self.corners for number in corner]
        if self.is_fraction and not all(0 <= number <= 1 for number in numbers):
            raise ValueError(f"expected fractions of the frame from 0 to 1, got {max(numbers, key=lambda each: abs(each - 0.5)):g}")
        rectangle = self.rectangle_px or self.rectangle_fraction
        if rectangle is not None and not (rectangle[0] < rectangle[2] and rectangle[1] < rectangle[3]):
            raise ValueError(f"expected x_min, y_min, x_max, y_max with x_min < x_max and y_min < y_max, got {list(rectangle)}")
        if len(self.corners) < _LEAST_CORNERS:
            raise ValueError(f"expected {_LEAST_CORNERS} corners or more, got {len(self.corners)}")
        if _is_flat(self.corners):
            raise ValueError("expected corners around an area, got corners on one line")
        return self

    @property
    def is_fraction(self) -> bool:
        """True where the corners are fractions of the frame."""
        return self.rectangle_fraction is not None or self.polygon_fraction is not None

    @property
    def corners(self) -> tuple[Point, ...]:
        """The zone as a polygon, in its own unit."""
        rectangle = self.rectangle_px or self.rectangle_fraction
        if rectangle is not None:
            x_min, y_min, x_max, y_max = rectangle
            return (x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)
        return self.polygon_px or self.polygon_fraction or ()


def _is_flat(corners: tuple[Point, ...]) -> bool:
    (x0, y0), *others = corners
    sides = [(x - x0, y - y0) for x, y in others]
    return all(x1 * y2 == x2 * y1 for x1, y1 in sides for x2, y2 in sides)


def _named(zones: dict[str, Zone]) -> dict[str, Zone]:
    for name in zones:
        if not name.strip():
            raise ValueError("expected a name for each zone, got an empty one")
        if name in _OTHER_FILTERS:
            raise ValueError(f"expected another name than those of other filters, got {name}")
    return zones


def _labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    if not all(label.strip() for label in labels):
        raise ValueError("expected labels, got an empty text")
    return labels


Zones = Annotated[dict[str, Zone], AfterValidator(_named)]
Labels = Annotated[tuple[str, ...], AfterValidator(_labels)]


class Persistence(BaseModel):
    """Number of frames a target must be seen in before it makes alerts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seen: int = Field(1, ge=1, le=64, description="in so many frames")
    of: int = Field(1, ge=1, le=64, description="of so many successive ones of its sensor")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.seen > self.of:
            raise ValueError(f"expected to be seen in no more frames than there are, got {self.seen} of {self.of}")
        return self


class AlertSettings(BaseModel):
    """Filters: what makes no alert, though its row keeps it. Every key is also an environment variable `IRSTREAM_ALERTS__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float | None = Field(
        None,
        ge=0,
        le=1,
        description="a detection below this score makes no alert; none: all targets do",
    )
    zones: Zones = Field(
        default_factory=dict, description="parts of the frame by name, `{display: {rectangle_px: [0, 0, 640, 20]}}`, see below"
    )
    shown_labels: Labels = Field((), description="only these labels make alerts; `target` is one without a sure class; empty: all")
    hidden_labels: Labels = Field((), description="these labels make no alerts")
    min_size_px: float = Field(0.0, ge=0, allow_inf_nan=False, description="a detection whose box has a shorter longer side makes no alert")
    max_size_px: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="a detection whose box has a longer side than this makes no alert"
    )
    persistence: Persistence = Field(
        Persistence(), description="a target makes no alert before it was seen in `seen` of `of` successive frames: `{seen: 3, of: 5}`"
    )


class SensorAlertSettings(BaseModel):
    """Alerts of one sensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float | None = Field(None, ge=0, le=1, description="takes the place of `alerts.min_score` for this sensor")
    zones: Zones | None = Field(None, description="take the place of all of `alerts.zones`; `{}`: none")
    shown_labels: Labels | None = Field(None, description="take the place of `alerts.shown_labels`; `[]`: all labels make alerts")
    hidden_labels: Labels | None = Field(None, description="take the place of `alerts.hidden_labels`; `[]`: none is hidden")
    min_size_px: float | None = Field(None, ge=0, allow_inf_nan=False, description="takes the place of `alerts.min_size_px`")
    max_size_px: float | None = Field(None, gt=0, allow_inf_nan=False, description="takes the place of `alerts.max_size_px`")
    persistence: Persistence | None = Field(None, description="takes the place of `alerts.persistence`; `{seen: 1, of: 1}`: at once")

    def over(self, common: AlertSettings) -> AlertSettings:
        """The settings of all sensors, with what this one has of its own in their place."""
        own = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        return common.model_copy(update=own)


class SensorSettings(BaseModel):
    """Values of one sensor, in place of those of all. None: as for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float | None = Field(
        None, ge=0, le=1, description="takes the place of `stream.min_score` for this sensor: rows, and with them alerts"
    )
    alerts: SensorAlertSettings = SensorAlertSettings()
