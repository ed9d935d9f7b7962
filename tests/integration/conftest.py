"""A real local Ray for the tests of the whole stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.cluster import ray_session


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for the session; each test starts its own stream in it."""
    with ray_session():
        yield
