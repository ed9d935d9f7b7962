"""Every bad message of the catalogue, through the real broker and the stream: one row each, and the stream goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_inputs import BAD, GOOD
from tests.conftest import RealKafka
from tests.integration.feeds import assert_exactly_once, catch_up, feed, frames, job, rows
from tests.pipeline.inference.rule_networks import RuleNetworks

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def test_every_bad_message_is_one_rejected_row_with_its_reason(kafka: RealKafka, tmp_path: Path) -> None:
    assert len(BAD) >= 40
    settings = kafka.settings(topic=kafka.new_topic(1), alerts_topic=kafka.new_topic(1), dead_letter_topic=kafka.new_topic(1))
    wanted: list[tuple[str, str | None]] = []
    messages = []
    for message in [*BAD, *GOOD]:
        messages.append((message.key, message.value, list(message.headers), 0))
        wanted.append((message.name, None if message.reason is None else message.reason.value))
        # A good frame behind every bad one: it must not suffer for its neighbour.
        messages += frames(1, partitions=1)
        wanted.append((f"neighbour of {message.name}", None))
    feed(settings, messages)
    summary = catch_up(job(settings, tmp_path / "table", RuleNetworks().handles()))
    found = sorted(rows(tmp_path / "table"), key=lambda row: int(row["source_offset"]))
    assert_exactly_once(found, settings)
    assert [(name, row["reason"]) for (name, _), row in zip(wanted, found, strict=True)] == wanted
    assert all(row["status"] == ("ok" if row["reason"] is None else "rejected") for row in found)
    assert all("expected" in row["detail"] and "got" in row["detail"] for row in found if row["reason"] is not None)
    assert summary.progress.generation == 1, summary.progress.note
