"""Settings of the results table, its commits and the alerts (light import: no deltalake, no kafka)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_MISREAD_IN_PATH = re.compile(r"%[0-9A-Fa-f]{2}|\\|[\x00-\x1f\x7f]")
_PASSWORD_IN_URL = re.compile(r"[a-z0-9+.-]+://[^/@:\s]+:(?!\d+/)\S*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MergePolicy:
    """Bounds of merged data files.

    Attributes:
        target_bytes: of a merged file at most.
        max_rows: in a merged file at most; a merge holds about 2 kB a row.
    """

    target_bytes: int = 64 * 2**20
    max_rows: int = 50_000

    def is_small(self, size_bytes: int, num_rows: int) -> bool:
        """True for a file that is still to be merged: so large that two of them would not fit, it is left alone for ever."""
        return 2 * size_bytes <= self.target_bytes and 2 * num_rows <= self.max_rows


class SinkSettings(BaseModel):
    """The results table, and the pace of commits. Every key is also an environment variable `IRSTREAM_SINK__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field("runs/results", min_length=1, description="folder or URL (s3://, gs://, abfss://) of the Delta table")
    commit_interval_s: float = Field(1.0, gt=0, description="at most one commit in this time, unless a bound below is reached")
    max_rows_per_commit: int = Field(5_000, gt=0, description="a commit is made at once when this many rows are ready")
    max_waiting_spans: int = Field(10_000, gt=0, description="more blocks than this behind a lost one restart the generation")
    compact_after_commits: int = Field(
        500, ge=0, description="small files are merged after this many commits, so that commits stay fast; 0 never merges"
    )
    merge_target_bytes: int = Field(64 * 2**20, ge=2**20, description="a merged file has at most so many bytes")
    merge_max_rows: int = Field(
        50_000, ge=1_000, description="a merged file has at most so many rows; a merge needs about 2 kB of memory a row"
    )
    file_retention_s: float = Field(
        86_400.0, ge=60, description="`irstream table maintain` keeps replaced files so long: as long as anybody reads one version"
    )
    orphan_grace_s: float = Field(
        3_600.0, ge=300, description="files that no version refers to are kept so much longer: somebody may be about to commit them"
    )
    publish_timeout_s: float = Field(30.0, gt=0, description="how long alerts and dead letters may take to be acknowledged before a commit")
    alerts: Literal["events", "detections", "all", "off"] = Field(
        "events",
        description="events of targets (appeared, updated, left), or one message for each frame with a detection, for every frame, or none",
    )
    storage_options: dict[str, SecretStr] = Field(
        default_factory=dict, description="options of the object store, passed through as they are; values are never shown"
    )

    @field_validator("table")
    @classmethod
    def _no_password(cls, table: str) -> str:
        # It is in every error about the table, in logs and in the view.
        if _PASSWORD_IN_URL.match(table):
            raise ValueError("expected a URL without user and password (they belong in storage_options), got one with both")
        return table

    @field_validator("table")
    @classmethod
    def _one_folder(cls, table: str) -> str:
        """A path as the shell would understand it; those that deltalake 1.6 takes for another folder are refused."""
        if "://" in table:
            return table
        if found := _MISREAD_IN_PATH.search(table):
            raise ValueError(f"expected a path without backslashes, control characters and percent codes, got {found[0]!r} in it")
        return os.path.expanduser(table)  # noqa: PTH111 - a Path takes `./~` for the home folder, too

    def merge_policy(self) -> MergePolicy:
        """Bounds of merged data files."""
        return MergePolicy(self.merge_target_bytes, self.merge_max_rows)

    def plain_storage_options(self) -> dict[str, str]:
        """The options as the object store needs them: never log these."""
        return {name: value.get_secret_value() for name, value in self.storage_options.items()}
