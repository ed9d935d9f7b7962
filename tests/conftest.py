"""What all tests share: a real Kafka, a real Ray, and the public data sets where they are."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import hypothesis
import psutil
import pytest

from deploy.broker.broker import Broker
from deploy.cluster.session import ray_session
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ensure_topic

# pytest finds the hooks of that module here.
from tests.fast_tests import pytest_addoption, pytest_runtest_protocol, pytest_sessionfinish, pytest_terminal_summary  # noqa: F401
from tests.installed import Environment, build_wheel, with_wheel
from tests.processes import freeze_process
from tests.waiting import GUARD_S

if TYPE_CHECKING:
    from tests.secured_kafka import SecuredKafka

# No deadline, and none for drawing: on a busy machine both measure the neighbours. Forty examples a property keep the suite quick.
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("irstream", max_examples=40, **_PATIENT)
hypothesis.settings.register_profile("quick", max_examples=10, **_PATIENT)  # of `make check`
hypothesis.settings.load_profile("irstream")

# A database for each training of a test would take seconds; tests of it name one.
os.environ.setdefault("MLFLOW_TRACKING_URI", "off")

REQUIRE_DATA_VARIABLE = "REQUIRE_DATA"
ADDRESS_VARIABLE = "IRSTREAM_KAFKA__BOOTSTRAP_SERVERS"


class RealKafka:
    """A running broker and how to use it in a test."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    def settings(self, **changes: object) -> KafkaSettings:
        """Settings that point here, e.g. `settings(topic=kafka.new_topic())`; patient: this broker is slow at times, and never away."""
        patience = {"connect_timeout_s": GUARD_S / 2, "probe_timeout_s": GUARD_S / 2}
        return KafkaSettings.model_validate({"bootstrap_servers": self.bootstrap_servers, **patience, **changes})

    def new_topic(self, partitions: int = 2, **config: object) -> str:
        """Create a topic of its own for one test; `retention_ms=1000` becomes `retention.ms=1000`."""
        name = f"test-{uuid4().hex[:12]}"
        ensure_topic(self.settings(), name, partitions, {key.replace("_", "."): str(value) for key, value in config.items()})
        return name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no broker first, what needs the Ray of all last: while they wait they take a third of two cores from the others."""
    for path, mark in {(item.path, mark) for item in items for mark in ("ray", "broker") if item.get_closest_marker(mark)}:
        if f"mark.{mark}" not in path.read_text(encoding="utf-8"):
            raise pytest.UsageError(f"{path}: expected pytest.mark.{mark} written in the file of its tests; make test looks for it there")
    items.sort(key=lambda item: ["local_ray" in getattr(item, "fixturenames", ()), *(mark in item.keywords for mark in ("ray", "broker"))])


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A real Apache Kafka for the whole session: the one named in the environment, else our own."""
    named = os.environ.get(ADDRESS_VARIABLE)
    if named:
        yield RealKafka(named)
        return
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield RealKafka(broker.bootstrap_servers)


class FragileKafka(RealKafka):
    """A broker of our own that a test may freeze, kill and revive."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker.bootstrap_servers)
        self.broker = broker

    def settings(self, **changes: object) -> KafkaSettings:
        """As the product has them: this broker may be away."""
        return KafkaSettings.model_validate({"bootstrap_servers": self.bootstrap_servers, **changes})

    def freeze(self) -> None:
        """Stop it in its tracks, connections open: the worst kind of outage."""
        freeze_process(self.broker.info.pid)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.broker.info.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        process = psutil.Process(self.broker.info.pid)
        process.kill()
        process.wait(GUARD_S)

    def revive(self) -> None:
        """Start it again on the same port and data."""
        self.broker.start()


@pytest.fixture(scope="session")
def _fragile_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    # With automatic topics on, as many brokers in the field have it: our clients must not create any.
    with Broker(tmp_path_factory.mktemp("fragile"), overrides={"auto.create.topics.enable": "true"}) as broker:
        yield broker


@pytest.fixture
def fragile_kafka(_fragile_broker: Broker) -> Iterator[FragileKafka]:
    """A second broker, only for tests that do it harm; it is well again after each."""
    fragile = FragileKafka(_fragile_broker)
    yield fragile
    if _fragile_broker.status() is None:
        fragile.revive()
    else:
        fragile.thaw()


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker that wants a password or a certificate from everybody."""
    from tests.secured_kafka import secured_broker

    with secured_broker(tmp_path_factory.mktemp("secured")) as secured:
        yield secured


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for the session; each test starts its own stream in it.

    Its workers find the networks of tests, whichever driver starts Serve: replicas are those of its controller.
    """
    path = os.pathsep.join(each for each in (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")) if each)
    with contextlib.ExitStack() as session:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", path)
            session.enter_context(ray_session())
        yield


@pytest.fixture
def joining_local_ray(local_ray: None) -> dict[str, str]:
    """Environment variables with which a command takes that Ray for its cluster: the start of one more costs half of such a test."""
    import ray

    return {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of irstream as it is now."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with that wheel; tests leave it as it is."""
    return with_wheel(tmp_path_factory.mktemp("installed") / "environment", wheel)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the public data sets; tests that need it are skipped where it is not, or fail with REQUIRE_DATA=1."""
    folder = Path(__file__).parents[1] / os.environ.get("IRSTREAM_DATA", "../shared/data")
    if not folder.is_dir():
        reason = f"no data sets: {folder} (IRSTREAM_DATA) is not a folder"
        if os.environ.get(REQUIRE_DATA_VARIABLE) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
