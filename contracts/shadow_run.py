"""The run of a shadow: rows of a candidate that works beside production on a share of the frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.position import KafkaPosition

SHADOW_PREFIX = "shadow:"
"""Begins the run id of a shadow."""
_FULL = 2**64


class ShadowRun(BaseModel):
    """The terms of a shadow, stored when it first begins, and the same ever after: else its rows would mean nothing together.

    Attributes:
        version: of this form.
        run_id: of its rows, `shadow:NAME`.
        of: run id of the production that it works beside.
        role: of the network that the candidate takes the place of.
        share: of the positions that belong to it, see `in_share`.
        digest: sha256 of the candidate's weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    run_id: str
    of: str
    role: Literal["detector", "segmenter", "classifier"]
    share: float = Field(gt=0, le=1)
    digest: str


def in_share(position: KafkaPosition, share: float) -> bool:
    """True for the positions of a share, chosen evenly by a hash: the same after every restart, and those of a smaller share among them.

    Args:
        position: of a frame.
        share: part of all positions, 0 to 1.
    """
    hashed = hashlib.blake2b(str(position).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(hashed) < share * _FULL


def offsets_in_share(topic: str, partition: int, spans: Iterable[tuple[int, int]], share: float) -> list[tuple[int, int]]:
    """Of ascending half-open ranges of one partition, the parts that are made of positions of a share."""
    parts: list[tuple[int, int]] = []
    for start, stop in spans:
        for offset in range(start, stop):
            if not in_share(KafkaPosition(topic, partition, offset), share):
                continue
            if parts and parts[-1][1] == offset:
                parts[-1] = (parts[-1][0], offset + 1)
            else:
                parts.append((offset, offset + 1))
    return parts
