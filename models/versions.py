"""Versions of weights on disk, for each role of the stream, which of them is in production, and how that came to be.

A folder that everybody sees who runs a stream or changes its networks::

    REGISTRY/segmenter/production.json           alias and history, replaced as a whole
    REGISTRY/segmenter/versions/DIGEST/          weights.safetensors and their card, weights.json, written once

Importing this module imports no torch: settings are read with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from contracts.errors import SettingsError
from models.card import ModelCard, read_card

Role = Literal["detector", "segmenter", "classifier"]
ROLES: Mapping[str, str] = {"detector": "detection", "segmenter": "segmentation", "classifier": "classification"}
"""Task of each role."""
_STATE, _WEIGHTS = "production.json", "weights.safetensors"
_DIGEST_LEAST = 8


class Event(BaseModel):
    """One change of what is in production, or one that was refused.

    Attributes:
        at: when, UTC.
        action: what was done.
        digest: sha256 of the weights it was about; of a rollback, those that are in production afterwards (None: those of the settings).
        before: of those in production before; None: those that the settings name.
        reasons: why, in words.
        decision: what the comparison measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    action: Literal["promoted", "refused", "rolled back"]
    digest: str | None
    before: str | None
    reasons: tuple[str, ...] = ()
    decision: dict[str, JsonValue] = Field(default_factory=dict)


class Production(BaseModel):
    """The alias of a role.

    Attributes:
        role: it is of.
        digest: sha256 of the weights in production; None: those that the settings name.
        events: what happened, oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    digest: str | None = None
    events: tuple[Event, ...] = ()

    @property
    def before(self) -> str | None:
        """The version that a rollback returns to; None: the weights that the settings name."""
        return self._stack()[-2]

    @property
    def can_roll_back(self) -> bool:
        """True where something was promoted that has not been rolled back."""
        return len(self._stack()) > 1

    def _stack(self) -> list[str | None]:
        stack: list[str | None] = [None]
        for event in self.events:
            if event.action == "promoted":
                stack.append(event.digest)
            elif event.action == "rolled back" and len(stack) > 1:
                stack.pop()
        return stack


class Versions:
    """The versions of one role."""

    def __init__(self, registry: Path, role: Role) -> None:
        """Nothing is read or made yet."""
        self._folder, self.role = registry / role, role

    def production(self) -> Production:
        """The alias; of a role that nothing was promoted for, an empty one.

        Raises:
            SettingsError: the file cannot be read.
        """
        path = self._folder / _STATE
        try:
            return Production.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Production(role=self.role)
        except (OSError, ValidationError) as error:
            raise SettingsError(
                expected="a file that irstream wrote", got=str(error), where=str(path), action="Restore it from a copy."
            ) from error

    def digests(self) -> list[str]:
        """All versions, the newest last."""
        folders = [path for path in (self._folder / "versions").glob("*") if (path / _WEIGHTS).is_file()]
        return [path.name for path in sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name))]

    def weights_of(self, digest: str) -> Path:
        """The weights of a version, with their card beside them, by its whole digest."""
        return self._folder / "versions" / digest / _WEIGHTS

    def card_of(self, digest: str) -> ModelCard:
        """The card of a version.

        Raises:
            SettingsError: it is not there.
        """
        return read_card(self.weights_of(digest).with_suffix(".json"))

    def named(self, start: str) -> str:
        """The whole digest of a version that begins so.

        Raises:
            SettingsError: none does, or several do.
        """
        found = [digest for digest in self.digests() if digest.startswith(start.lower())] if len(start) >= _DIGEST_LEAST else []
        if len(found) != 1:
            raise SettingsError(
                expected=f"at least {_DIGEST_LEAST} digits of the digest of one version of the {self.role}",
                got=f"{start!r}, as {len(found)} versions begin" if len(start) >= _DIGEST_LEAST else repr(start),
                where=str(self._folder),
                action="See irstream models list.",
            )
        return found[0]

    def add(self, weights: Path, digest: str | None = None) -> ModelCard:
        """Keep weights and their card as a version; those that are there already stay as they are.

        Args:
            weights: the file; its card lies beside it.
            digest: of the weights that are meant; None: those that are there.

        Raises:
            SettingsError: no such files, other weights than those meant, the card is of other weights or of another task, or the folder
                cannot be written.
        """
        card = read_card(weights.with_suffix(".json"))
        if digest is not None and card.digest != digest:
            raise SettingsError(
                expected=f"the weights {_short(digest)} that were looked at",
                got=_short(card.digest),
                where=str(weights),
                action="They were written anew meanwhile, perhaps by a training: give the command again when it has ended.",
            )
        if card.task != ROLES[self.role]:
            raise SettingsError(
                expected=f"weights for {ROLES[self.role]}",
                got=f"{card.name} ({card.task})",
                where=str(weights),
                action="Name its own role.",
            )
        target = self.weights_of(card.digest).parent
        if target.is_dir():
            return card
        with _writable(self._folder), tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as aside:
            made = Path(aside) / "version"
            made.mkdir()
            shutil.copyfile(weights, made / _WEIGHTS)
            shutil.copyfile(weights.with_suffix(".json"), made / "weights.json")
            copied = hashlib.sha256((made / _WEIGHTS).read_bytes()).hexdigest()
            if copied != card.digest or read_card(made / "weights.json").digest != copied:
                raise SettingsError(
                    expected=f"digest {card.digest}",
                    got=copied,
                    where=f"weights {weights} and their card",
                    action="Use weights with their own card.",
                )
            for path in (made / _WEIGHTS, made / "weights.json", made):
                _to_disk(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                made.rename(target)
                _to_disk(target.parent)
            except OSError:
                if not target.is_dir():  # somebody else was faster
                    raise
        return card

    def promote(self, digest: str, expected: str | None, reasons: Sequence[str], decision: Mapping[str, JsonValue]) -> Production:
        """Make a version the one in production.

        Args:
            digest: of the version.
            expected: what is in production, as it was compared with.
            reasons: why.
            decision: what was measured.

        Raises:
            SettingsError: there is no such version, another one is in production by now, or the folder cannot be written.
        """
        self._require(digest, "to be promoted")
        event = Event(at=_now(), action="promoted", digest=digest, before=expected, reasons=tuple(reasons), decision=dict(decision))
        return self._write(event, digest, expected)

    def refuse(self, digest: str, expected: str | None, reasons: Sequence[str], decision: Mapping[str, JsonValue]) -> Production:
        """Keep in mind that a version was refused; what is in production stays.

        Raises:
            SettingsError: as `promote`.
        """
        event = Event(at=_now(), action="refused", digest=digest, before=expected, reasons=tuple(reasons), decision=dict(decision))
        return self._write(event, expected, expected)

    def roll_back(self, reasons: Sequence[str] = ()) -> Production:
        """Return to what was in production before.

        Raises:
            SettingsError: nothing was promoted, the version before is gone, or the folder cannot be written.
        """
        now = self.production()
        if not now.can_roll_back:
            raise SettingsError(
                expected=f"a {self.role} that was promoted",
                got="none: the one that the settings name is in use",
                where=str(self._folder),
                action="Change `models` in the settings.",
            )
        before = now.before
        if before is not None:
            self._require(before, "that was in production before")
        event = Event(at=_now(), action="rolled back", digest=before, before=now.digest, reasons=tuple(reasons))
        return self._write(event, before, now.digest)

    def _require(self, digest: str, what: str) -> None:
        if not self.weights_of(digest).is_file():
            raise SettingsError(
                expected=f"the version {digest[:12]} {what}",
                got="no such files",
                where=str(self.weights_of(digest)),
                action="Restore them from a copy.",
            )

    def _write(self, event: Event, digest: str | None, expected: str | None) -> Production:
        with _writable(self._folder), self._alone():
            now = self.production()
            if now.digest != expected:
                raise SettingsError(
                    expected=f"{_short(expected)} in production, as it was looked at",
                    got=_short(now.digest),
                    where=str(self._folder / _STATE),
                    action="Somebody else has changed it meanwhile: give the command again.",
                )
            made = Production(role=self.role, digest=digest, events=(*now.events, event))
            with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix=".production-", delete=False, encoding="utf-8") as file:
                file.write(made.model_dump_json(indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(self._folder / _STATE)
            _to_disk(self._folder)
            return made

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise SettingsError(
            expected="a registry that can be written", got=str(error), where=str(folder), action="Name another folder (`registry.folder`)."
        ) from error


def _to_disk(path: Path) -> None:
    """Have the system write a file or a folder's list of names, so that a loss of power cannot undo it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _short(digest: str | None) -> str:
    return "the network of the settings" if digest is None else digest[:12]


def _now() -> datetime:
    return datetime.now(UTC)
