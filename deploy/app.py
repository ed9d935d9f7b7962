"""The Serve application: three model deployments, and the stream that feeds them.

`serve run ray_config.yaml` (or KubeRay's RayService) builds it with `build`; `irstream stream` deploys the same three
models and runs the same stream in its own process, where Ctrl-C can drain it.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from ray.serve import Application

from deploy.cluster.names import check_names_of_an_application
from deploy.monitoring.server import monitoring
from deploy.serving import DeploymentHandle, bound, handles_of, model_applications
from deploy.settings.app_settings import AppSettings, settings_from_args
from deploy.settings.production import in_production
from deploy.settings.weak_scores import finder_score
from deploy.shadowing import Shadowing
from pipeline.inference.router import ModelHandles
from pipeline.inference.rules import LiveRules, SensorRules
from pipeline.runtime.job import StreamJob
from pipeline.runtime.progress import StreamProgress
from pipeline.stream import run_stream

_STOP_WAIT_S = 90.0
_log = logging.getLogger(__name__)


def build(args: dict[str, Any]) -> Application:
    """Application builder for Serve configs.

    Args:
        args: `AppSettings` as a plain mapping (the `args` of `ray_config.yaml`).

    Raises:
        SettingsError: a setting is wrong, or workers would import files of others under our names.
    """
    check_names_of_an_application()
    settings = in_production(settings_from_args(args))
    options = {"ray_actor_options": {"num_cpus": 0}, "graceful_shutdown_timeout_s": _STOP_WAIT_S}
    return bound(StreamDriver, "stream", options, settings, *model_applications(settings))


def stream_job(settings: AppSettings, models: ModelHandles) -> StreamJob:
    """The job of `run_stream`, from the settings."""
    return StreamJob(
        settings.run_id,
        settings.kafka,
        settings.stream,
        settings.preprocess,
        settings.sink,
        models,
        rules=LiveRules(rules_of(settings)),
        tracks=settings.tracks,
    )


def rules_of(settings: AppSettings) -> SensorRules:
    """Least scores and filters of sensors, from the settings."""
    stream = settings.stream
    return SensorRules(stream.min_score, settings.alerts, settings.sensors, stream.clutter_veto, finder_score(settings.models.detector))


class StreamDriver:
    """Ingress of the application: runs the stream in a thread for as long as the replica lives."""

    def __init__(
        self, settings: AppSettings, detector: DeploymentHandle, segmenter: DeploymentHandle, classifier: DeploymentHandle
    ) -> None:
        """Start streaming."""
        self._stop = threading.Event()
        self._progress = StreamProgress()
        self._error: BaseException | None = None
        self._models = handles_of(detector, segmenter, classifier)
        job = stream_job(settings, self._models)
        metrics = settings.metrics
        self._open = ExitStack()
        self._asked = self._open.enter_context(monitoring(metrics.host, metrics.port, metrics.stall_s, _log.warning))
        self._thread = threading.Thread(target=self._run, args=(settings, job), name="stream", daemon=True)
        self._thread.start()

    def _run(self, settings: AppSettings, job: StreamJob) -> None:
        try:
            with Shadowing(settings, job.shadow, self._models, job.rules, _log.warning).at_work(settings, delete_app=True):
                run_stream(job, stop=self._stop, on_progress=self._keep, meter=self._asked.meter)
        except Exception as error:  # noqa: BLE001 - reported to Serve by check_health, which restarts the replica
            self._error = error
            self._asked.health.failed(str(error))

    def _keep(self, progress: StreamProgress) -> None:
        self._progress = progress
        self._asked.health.saw(progress)

    def status(self) -> dict[str, Any]:
        """The newest `StreamProgress` as a plain mapping, and the error that ended the stream, if any."""
        return asdict(self._progress) | {"error": None if self._error is None else str(self._error)}

    def check_health(self) -> None:
        """Serve's health check: a stream that ended by an error makes the replica unhealthy.

        Raises:
            StopPipeline: the error that ended it.
        """
        if self._error is not None:
            raise self._error

    def __del__(self) -> None:
        """Serve stops the replica: drain."""
        self._stop.set()
        self._thread.join(_STOP_WAIT_S)
        self._open.close()
