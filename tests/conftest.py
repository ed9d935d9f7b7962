"""What all tests share: a real Kafka, and the public data sets where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.kafka_client import KafkaSettings, ensure_topic

ADDRESS_VARIABLE = "IRSTREAM_KAFKA__BOOTSTRAP_SERVERS"


@dataclass(frozen=True)
class RealKafka:
    """A running broker and how to use it in a test."""

    bootstrap_servers: str
    _numbers: Iterator[int] = field(default_factory=count)

    def settings(self, **changes: object) -> KafkaSettings:
        """Settings that point here, e.g. `settings(topic=kafka.new_topic())`."""
        return KafkaSettings.model_validate({"bootstrap_servers": self.bootstrap_servers, **changes})

    def new_topic(self, partitions: int = 2, **config: object) -> str:
        """Create a topic of its own for one test; `retention_ms=1000` becomes `retention.ms=1000`."""
        name = f"test-{uuid4().hex[:8]}-{next(self._numbers)}"
        ensure_topic(self.settings(), name, partitions, {key.replace("_", "."): str(value) for key, value in config.items()})
        return name


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A real Apache Kafka for the whole session: the one named in the environment, else our own."""
    named = os.environ.get(ADDRESS_VARIABLE)
    if named:
        yield RealKafka(named)
        return
    from deploy.broker.broker import Broker

    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield RealKafka(broker.bootstrap_servers)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the public data sets; tests that need it are skipped where it is not."""
    folder = Path(__file__).parents[1] / os.environ.get("IRSTREAM_DATA", "../shared/data")
    if not folder.is_dir():
        pytest.skip(f"no data sets: {folder} (IRSTREAM_DATA) is not a folder")
    return folder
