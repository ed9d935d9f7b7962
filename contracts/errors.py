"""The error tree. A class is an action, and every text says: expected, got, where, what to do.

IrstreamError
├── RejectRecord   this message cannot be used: dead letter, go on
├── RetryLater     something outside is away: back off, stay where we are
│   └── GenerationFailed   what is in flight cannot be trusted: drop it, start again from the table
└── StopPipeline   going on would lose or falsify data, or cannot work: exit, stay
    ├── SettingsError   a person must change a setting or a command
    └── ProcessFailed   this process cannot go on, another one may: exit, and be started again
"""

from __future__ import annotations

from enum import StrEnum


class RejectReason(StrEnum):
    """Reasons for a row with status `rejected` (the public names in column `reason`)."""

    KEY_MISSING = "key_missing"
    KEY_NOT_UTF8 = "key_not_utf8"
    TOMBSTONE = "tombstone"
    EMPTY_VALUE = "empty_value"
    HEADER_INVALID = "header_invalid"
    HEADER_CONTRADICTION = "header_contradiction"
    UNSUPPORTED_EVENT = "unsupported_event"
    UNSUPPORTED_CODEC = "unsupported_codec"
    SIGNATURE_MISMATCH = "signature_mismatch"
    SIZE_MISMATCH = "size_mismatch"
    CORRUPT_IMAGE = "corrupt_image"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    NOT_FINITE = "not_finite"
    BIT_DEPTH_CONTRADICTION = "bit_depth_contradiction"
    QUALITY = "quality"
    POISON = "poison"


class IrstreamError(Exception):
    """Base of every error irstream raises on purpose."""


class RejectRecord(IrstreamError):  # noqa: N818 - an error class is an action (CONTRIBUTING.md), its name is public
    """This message cannot be used: it becomes one rejected row and one dead letter; the stream goes on."""

    def __init__(self, reason: RejectReason, *, expected: str, got: str) -> None:
        """Keep reason and detail apart: both are columns of the table."""
        self.reason = reason
        self.expected = expected
        self.got = got
        super().__init__(reason, expected, got)

    @property
    def detail(self) -> str:
        """Text of column `detail`."""
        return f"expected {self.expected}; got {self.got}"

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders with every field (keyword-only arguments need help)."""
        return (_rebuild_reject, (self.reason, self.expected, self.got))

    def __str__(self) -> str:
        """`reason: expected ...; got ...`."""
        return f"{self.reason.value}: {self.detail}"


def _rebuild_reject(reason: RejectReason, expected: str, got: str) -> RejectRecord:
    return RejectRecord(reason, expected=expected, got=got)


class _Located(IrstreamError):  # noqa: N818 - as above
    """Shared shape of the two errors that stop or pause the whole pipeline."""

    def __init__(self, *, expected: str, got: str, where: str, action: str) -> None:
        """Keep the four parts; `str()` joins them for people."""
        self.expected = expected
        self.got = got
        self.where = where
        self.action = action
        super().__init__(expected, got, where, action)

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders with every field."""
        return (_rebuild_located, (type(self), self.expected, self.got, self.where, self.action))

    def __str__(self) -> str:
        """`where: expected ..., got .... What to do.`."""
        return f"{self.where}: expected {self.expected}, got {self.got}. {self.action}"


def _rebuild_located(kind: type[_Located], expected: str, got: str, where: str, action: str) -> _Located:
    return kind(expected=expected, got=got, where=where, action=action)


class RetryLater(_Located):
    """Something outside is away for now: back off and try again from the same position."""


class GenerationFailed(RetryLater):
    """The frames in flight cannot be trusted any more (a hole, an overlap): drop them and start again from the table."""


class StopPipeline(_Located):
    """Going on would lose or falsify data, or cannot work: exit and leave everything as it stands."""

    exit_code = 2


class ProcessFailed(StopPipeline):
    """This process cannot go on, another one may (its Ray is gone, say): exit, and be started again by whoever watches it."""

    exit_code = 70


class SettingsError(StopPipeline):
    """A setting, an argument or the command itself is wrong: a person must change it."""
