"""All settings of irstream in one typed tree, and where each value comes from.

The tree is the `args` of our application in `ray_config.yaml`, so `serve run` and every `irstream` command read the
same file. An option of a command beats an environment variable (`IRSTREAM_KAFKA__TOPIC`), which beats the file,
which beats the default. Importing this module imports neither ray nor torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnparsableVariable

import irstream_names
from actors.settings import BatchPolicy, ModelActorSettings
from contracts.limits import InputLimits
from deploy.settings.file import Key, SettingsFile, find_settings_file, read_settings_file
from deploy.settings.metrics import MetricsSettings
from deploy.settings.mistakes import HIDDEN, InvalidSettingsError, Mistake, describe, dotted, is_secret, known_keys, nearest_key
from deploy.settings.registry import RegistrySettings
from deploy.settings.shadow import ShadowSettings
from deploy.settings.view import ViewSettings
from models import own_networks
from pipeline.kafka.settings import KafkaSettings
from pipeline.sensor_settings import AlertSettings, SensorSettings
from pipeline.settings import ArchiveSettings, StreamSettings
from pipeline.table.settings import SinkSettings
from pipeline.tracks.settings import TrackSettings

ENV_PREFIX = "IRSTREAM_"
ENV_DELIMITER = "__"
# Variables with our prefix that are no settings of the application.
OTHER_VARIABLES = frozenset(
    {irstream_names.VARIABLE, "IRSTREAM_DATA", "IRSTREAM_DEBUG", own_networks.VARIABLE, "IRSTREAM_BROKER_HOME", "IRSTREAM_BROKER_PORT"}
)
# What Kubernetes (and Docker's links) put into every container beside a Service called irstream or irstream-...: name, value.
_OF_A_SERVICE = (
    (re.compile(r"(_SERVICE_HOST|_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|ADDR))$"), re.compile(r".*")),
    (re.compile(r"(_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT_\d+_(TCP|UDP|SCTP)_PORT)$"), re.compile(r"\d+")),
    (re.compile(r"_PORT(_\d+_(TCP|UDP|SCTP))?$"), re.compile(r"(tcp|udp|sctp)://.*")),
)


class ModelsSettings(BaseModel):
    """The network of each task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: ModelActorSettings = ModelActorSettings(model="harrier")
    segmenter: ModelActorSettings = ModelActorSettings(model="kestrel_wide")
    classifier: ModelActorSettings = ModelActorSettings(model="basic_cnn")


class BatchingSettings(BaseModel):
    """Batches of each task; the classifier counts crops, the others frames (or tiles)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: BatchPolicy = BatchPolicy()
    segmenter: BatchPolicy = BatchPolicy(max_batch_size=4)
    classifier: BatchPolicy = BatchPolicy(max_batch_size=64, max_queue_frames=1024)


class AppSettings(BaseSettings):
    """Everything that can be set; unknown keys are mistakes."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER, extra="forbid", frozen=True, case_sensitive=False
    )

    run_id: str = Field(
        "live",
        pattern=r"^(shadow:)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="partition of the table; its rows and offsets are separate (`shadow:NAME`: of a shadow, to be read only)",
    )
    kafka: KafkaSettings = KafkaSettings()
    preprocess: InputLimits = InputLimits()
    models: ModelsSettings = ModelsSettings()
    batching: BatchingSettings = BatchingSettings()
    sink: SinkSettings = SinkSettings()
    stream: StreamSettings = StreamSettings()
    archive: ArchiveSettings = ArchiveSettings()
    tracks: TrackSettings = TrackSettings()
    alerts: AlertSettings = AlertSettings()
    registry: RegistrySettings = RegistrySettings()
    shadow: ShadowSettings = ShadowSettings()
    view: ViewSettings = ViewSettings()
    metrics: MetricsSettings = MetricsSettings()
    sensors: dict[str, SensorSettings] = Field(
        default_factory=dict,
        description=(
            "What differs for single sensors, by the id that is the key of their messages: `sensors: {mast-1: {min_score: 0.9}}`.\n"
            "[Filters](filters.md) in examples. `alerts` and `sensors` may be changed while frames flow (SIGHUP).\n"
            'As a variable, give all of them as JSON: `IRSTREAM_SENSORS=\'{"Mast-1": {"min_score": 0.9}}\'`; names of variables do not'
            " keep capitals."
        ),
    )

    @field_validator("sensors", mode="before")
    @classmethod
    def _named_by_text(cls, sensors: object) -> object:
        for name in sensors if isinstance(sensors, Mapping) else ():
            # YAML reads 007 as a number and yes as a truth: neither is the key of a message.
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"expected the ids of sensors as text, in quotes where they look like a number, got {name!r}")
        return sensors

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Self:
        for name, alerts in (
            ("", self.alerts),
            *((f"sensors.{name}.", each.alerts.over(self.alerts)) for name, each in self.sensors.items()),
        ):
            if alerts.max_size_px is not None and alerts.min_size_px > alerts.max_size_px:
                raise ValueError(
                    f"expected {name}alerts.min_size_px of at most alerts.max_size_px ({alerts.max_size_px:g}), got {alerts.min_size_px:g}"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over: it merges the layers itself, because it must say which one a value is from."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Override:
    """A value given as an option of a command.

    Attributes:
        key: dotted name, such as `kafka.topic`.
        option: how the user wrote it, such as `--topic`.
    """

    key: str
    value: Any
    option: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Valid settings, and where each value comes from.

    Attributes:
        file: the settings file that counted.
        origins: dotted key of every value to `default`, `file:line`, a variable or an option.
    """

    settings: AppSettings
    file: str
    origins: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Layers:
    """The places values come from, weakest first, and their names."""

    file: SettingsFile
    environment: dict[str, Any]
    variables: dict[Key, str]
    overrides: Sequence[Override]

    def merged(self) -> dict[str, Any]:
        # Defaults come first as plain values, so that a section may be given in part (models.detector without `model`).
        defaults = {name: field.get_default(call_default_factory=True) for name, field in AppSettings.model_fields.items()}
        values = _merge(
            {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in defaults.items()}, self.file.args
        )
        values = _merge(values, self.environment)
        for override in self.overrides:
            *parents, last = override.key.split(".")
            nested: dict[str, Any] = {last: override.value}
            for parent in reversed(parents):
                nested = {parent: nested}
            values = _merge(values, nested)
        return values

    def origin(self, key: Key) -> str | None:
        """Place where the value of this very key is set; None when it is a default."""
        for override in self.overrides:
            if tuple(override.key.split(".")) == key:
                return override.option
        prefixes = [key[:length] for length in range(len(key), 0, -1)]
        if _holds(self.environment, key):
            # One variable may hold a whole section as JSON.
            return next((self.variables[prefix] for prefix in prefixes if prefix in self.variables), None)
        if _holds(self.file.args, key):
            return next((place for prefix in (*prefixes, ()) if (place := self.file.place(prefix))), self.file.name)
        return None

    def nearest_origin(self, key: Key) -> str:
        """Place where a person changes this key: its own, else that of the section it belongs to."""
        found = (self.origin(key[:length]) or self.variables.get(key[:length]) for length in range(len(key), 0, -1))
        return next((place for place in found if place), self.file.place(()) or self.file.name)


def _holds(tree: object, key: Key) -> bool:
    for part in key:
        mapping = isinstance(tree, Mapping) and part in tree
        sequence = isinstance(tree, list | tuple) and isinstance(part, int) and part < len(tree)
        if not (mapping or sequence):
            return False
        tree = tree[part]  # type: ignore[index]  # one of the two, checked above
    return True


def load_settings(config: Path | None = None, overrides: Sequence[Override] = ()) -> LoadedSettings:
    """Settings for a command.

    Args:
        config: the file asked for; None looks in the working folder, then takes the packaged default.
        overrides: options of the command; values of None mean "not given".

    Raises:
        SettingsError: no such file, or not a Serve config.
        InvalidSettingsError: some values are wrong; names all of them.
    """
    return _resolve(read_settings_file(find_settings_file(config)), [item for item in overrides if item.value is not None])


def settings_from_args(args: Mapping[str, Any]) -> AppSettings:
    """Settings for the Serve application builder, which gets the `args` already read.

    Raises:
        InvalidSettingsError: some values are wrong; names all of them.
    """
    return _resolve(SettingsFile("application args", dict(args), {}, ()), []).settings


def _resolve(file: SettingsFile, overrides: Sequence[Override]) -> LoadedSettings:
    environment, variables, mistakes = _read_environment()
    layers = _Layers(file, environment, variables, overrides)
    for twice in file.duplicates:
        got = f"it again (first in line {twice.first_line})"
        mistakes.append(Mistake(f"{file.name}:{twice.line}", dotted(twice.key), "every key once", got, "Remove one of the two."))
    try:
        settings = AppSettings(**layers.merged())
    except ValidationError as error:
        # Unknown variables are reported by _read_environment already, with the variable's own spelling.
        mistakes += describe(error.errors(include_url=False), layers.nearest_origin, AppSettings)
    if mistakes:
        raise InvalidSettingsError(mistakes)
    leaves = flatten(settings.model_dump(mode="python"))
    return LoadedSettings(settings, file.name, {dotted(key): layers.origin(key) or "default" for key in leaves})


def secrets_in_file(loaded: LoadedSettings) -> list[Mistake]:
    """Secrets that stand in the settings file itself: whoever may read the file (or `serve config`) knows them."""
    expected = "secrets by environment variable or in a file of their own"
    found = []
    for key in map(dotted, filter(is_secret, flatten(loaded.settings.model_dump(mode="json")))):
        where = loaded.origins[key]
        if where == loaded.file or where.startswith(f"{loaded.file}:"):
            found.append(Mistake(where, key, expected, HIDDEN, f"Take it out and set {variable_of(key)}."))
    return found


def flatten(tree: Mapping[str, Any], prefix: Key = ()) -> dict[Key, Any]:
    """A nested mapping as one level of keys; lists are values."""
    flat: dict[Key, Any] = {}
    for name, value in tree.items():
        key = (*prefix, name)
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, key)
        else:
            flat[key] = value
    return flat


def _merge(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def _read_environment() -> tuple[dict[str, Any], dict[Key, str], list[Mistake]]:
    """Values set by variables, the variable behind each key, and variables that mean nothing."""
    variables: dict[Key, str] = {}
    mistakes: list[Mistake] = []
    known = set(known_keys(AppSettings))
    for name, value in sorted(os.environ.items()):
        if not name.upper().startswith(ENV_PREFIX) or name.upper() in OTHER_VARIABLES or _is_of_a_service(name, value):
            continue
        key: Key = tuple(name[len(ENV_PREFIX) :].lower().split(ENV_DELIMITER))
        variables[key] = name
        if (key[0],) not in known:
            meant = nearest_key(key, AppSettings) or nearest_key(tuple(dotted(key).replace("_", ".", 1).split(".")), AppSettings)
            hint = f"Did you mean {variable_of(meant)}?" if meant else "Unset it; `irstream config show` lists every key."
            mistakes.append(Mistake(name, dotted(key), "a variable that sets a known key", "an unknown one", hint))
    try:
        environment: dict[str, Any] = EnvSettingsSource(AppSettings)()
    except UnparsableVariable as error:
        section = str(error).split('"')[1] if '"' in str(error) else ""
        name = variables.get((section,), variable_of(section))
        mistakes.append(Mistake(name, section, "JSON, or one variable per key", "text that is no JSON", f"Set {name}__KEY instead."))
        environment = {}
    return environment, variables, mistakes


def _is_of_a_service(name: str, value: str) -> bool:
    """True for a variable that describes a Service; by its value too, so that IRSTREAM_KAFKA_PORT=9092 stays a mistake."""
    return ENV_DELIMITER not in name and any(names.search(name) and values.fullmatch(value) for names, values in _OF_A_SERVICE)


def variable_of(key: str) -> str:
    """The environment variable of a dotted key."""
    return ENV_PREFIX + key.replace(".", ENV_DELIMITER).upper()
