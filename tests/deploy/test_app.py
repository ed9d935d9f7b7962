"""The Serve application: names that never meet, models that fit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import ray
from ray import serve

from contracts.errors import SettingsError
from deploy import serving
from deploy.replica import ModelReplica, as_user_config
from deploy.serving import app_name, lacking_resources, running_models
from deploy.settings.app_settings import AppSettings, settings_from_args


def settings(run_id: str = "live", topic: str = "frames", **detector: Any) -> AppSettings:
    return settings_from_args({"run_id": run_id, "kafka": {"topic": topic}, "models": {"detector": detector}})


def test_streams_that_share_a_cluster_have_models_of_their_own() -> None:
    pairs = [("live", "frames"), ("live-frames", "x"), ("live", "frames-x"), ("a" * 100, "b"), ("a" * 101, "b"), ("a", "b" * 249)]
    names = {app_name(settings(run_id, topic)) for run_id, topic in pairs}
    assert len(names) == len(pairs)
    assert all(len(name) <= 100 and name.replace("-", "").replace(".", "").replace("_", "").isalnum() for name in names)
    assert app_name(settings()) == app_name(settings(threads=3)), "a stream that comes back replaces its own models"


@pytest.mark.parametrize(
    ("detector", "resources", "lacking"),
    [
        pytest.param({}, {"CPU": 8.0}, "", id="defaults on a small machine"),
        pytest.param({"num_cpus": 6.5}, {"CPU": 8.0}, "", id="just fits"),
        pytest.param({"num_cpus": 6.6}, {"CPU": 8.0}, "8.1 CPUs reserved (0.5 of them for reading) and Ray has 8", id="reading starves"),
        pytest.param({"replicas": 9, "num_cpus": 1}, {"CPU": 8.0}, "10.5 CPUs", id="replicas"),
        pytest.param({"num_gpus": 0.5}, {"CPU": 8.0}, "0.5 GPUs reserved and Ray has 0", id="no GPU"),
        pytest.param({"num_gpus": 0.5}, {"CPU": 8.0, "GPU": 1.0}, "", id="a GPU"),
    ],
)
def test_models_that_never_fit_are_known_before_serve_waits_for_them(
    detector: dict[str, Any], resources: dict[str, float], lacking: str
) -> None:
    told = lacking_resources(settings(**detector), resources)
    assert told.startswith(lacking)
    assert bool(told) == bool(lacking)


def test_a_replica_names_weights_that_are_not_there() -> None:
    broken = settings(weights="no-such-file.safetensors")
    with pytest.raises(SettingsError, match=r"no-such-file"):
        asyncio.run(ModelReplica("detector").reconfigure(as_user_config(broken.models.detector, broken.batching.detector)))


def replica_that_refuses() -> type[Any]:
    """In the place of `ModelReplica`; a class of a function goes to Ray as it is, and its process need not import this module."""

    class Refusing:
        def __init__(self, role: str, *others: object) -> None:
            self._role = role

        def reconfigure(self, settings: object) -> None:
            raise ValueError(f"weights that do not fit the {self._role}")

    return Refusing


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("local_ray")
def test_models_that_do_not_load_leave_nothing_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    model = serving.model_application  # of the three one is enough
    monkeypatch.setattr(serving, "model_application", lambda role, *options: model(role, *options) if role == "segmenter" else role)
    monkeypatch.setattr(serving, "ModelReplica", replica_that_refuses())
    refused = settings(run_id="refused")
    with pytest.raises(SettingsError, match=r"segmenter: .*weights that do not fit the segmenter"), running_models(refused):
        pass
    assert app_name(refused) not in serve.status().applications
