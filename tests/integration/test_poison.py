"""A frame that kills the process of a network, through real processes: Serve replicas that really die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import serve

from deploy.serving import handles_of
from pipeline.inference.router import ModelHandles
from tests.conftest import RealKafka
from tests.integration.feeds import assert_exactly_once, catch_up, feed, frames, job, marked_frame, rows
from tests.integration.mortal_networks import KILLER, Door, Replica

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.usefixtures("local_ray")]


@pytest.fixture
def mortal_models() -> Iterator[ModelHandles]:
    deployment: Any = serve.deployment
    options = {"max_ongoing_requests": 100, "ray_actor_options": {"num_cpus": 0}}
    roles = ("detector", "segmenter", "classifier")
    replicas = [deployment(Replica).options(name=role, **options).bind(role) for role in roles]
    serve.start(proxy_location="Disabled")
    serve.run(deployment(Door).options(ray_actor_options={"num_cpus": 0}).bind(*replicas), name="mortal", route_prefix=None)
    try:
        yield handles_of(*(serve.get_deployment_handle(role, "mortal") for role in roles))
    finally:
        serve.delete("mortal")


def test_a_frame_that_kills_the_process_is_rejected_and_all_others_have_results(
    kafka: RealKafka, tmp_path: Path, mortal_models: ModelHandles
) -> None:
    settings = kafka.settings(topic=kafka.new_topic(2), alerts_topic=kafka.new_topic(1), dead_letter_topic=kafka.new_topic(1))
    feed(settings, [*frames(21), (b"cam", marked_frame(KILLER), [], 0), *frames(40)])
    summary = catch_up(job(settings, tmp_path / "table", mortal_models))
    found = rows(tmp_path / "table")
    assert_exactly_once(found, settings)
    (poison,) = [row for row in found if row["status"] != "ok"]
    assert (poison["reason"], poison["source_partition"], poison["source_offset"]) == ("poison", 0, 11)
    assert "segmenter died 2 times on this frame alone" in poison["detail"]
    assert summary.progress.generation == 1, "its neighbours did not have to be read again"
