"""Fake networks and random weights for the actor tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.settings import BatchPolicy, ModelActorSettings
from models import zoo
from tests.actors import fake_models

MakeSettings = Callable[..., ModelActorSettings]
# What does not depend on the machine: the probe for the fastest number format would.
PLAIN: dict[str, Any] = {"device": "cpu", "dtype": "float32", "threads": 1, "warm_up_px": ()}
QUICK = BatchPolicy(max_batch_size=8, max_wait_s=0.005)


@pytest.fixture(autouse=True)
def trouble(monkeypatch: pytest.MonkeyPatch) -> fake_models.Trouble:
    """Networks without trouble; a test changes the fields of what it gets."""
    fresh = fake_models.Trouble()
    monkeypatch.setattr(fake_models, "TROUBLE", fresh)
    return fresh


@pytest.fixture
def settings_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    """Settings for a network by name (fake ones are known here too), with random weights of a seed."""
    zoo.list_models()
    for kind in fake_models.FAKES:
        # Only for this test: other tests run over all registered networks.
        monkeypatch.setitem(zoo._registry, kind.name, kind)

    def make(name: str, seed: int = 0, **others: object) -> ModelActorSettings:
        weights = str(fake_models.write_weights(name, tmp_path, seed))
        return ModelActorSettings.model_validate({"model": name, "weights": weights} | PLAIN | others)

    return make
