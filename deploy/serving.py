"""The three networks of a stream as deployments of Ray Serve: put there, reached, exchanged and taken away."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import ray
from ray import serve
from ray.exceptions import ActorDiedError
from ray.serve import Application
from ray.serve.handle import DeploymentHandle as _DeploymentHandle

from actors.reply import ActorCrashed, ClassifierReply, DetectorReply, SegmenterReply
from actors.settings import BatchPolicy, ModelActorSettings
from contracts.errors import SettingsError
from contracts.outputs import Float32
from deploy.cluster.names import runtime_env
from deploy.cluster.session import cluster_address
from deploy.replica import ModelReplica, as_user_config
from deploy.settings.app_settings import AppSettings
from deploy.settings.mistakes import InvalidSettingsError
from deploy.settings.model_check import model_mistakes
from deploy.settings.weak_scores import with_weak_boxes
from pipeline.inference.router import ModelHandles

DeploymentHandle: TypeAlias = _DeploymentHandle[Any]
APP_NAME = "irstream"
_ROUNDING = 1e-6
_VERSION = "1"
_log = logging.getLogger(__name__)


def bound(kind: type[Any], name: str, options: dict[str, Any], *arguments: Any) -> Application:
    """A class as a named deployment with its constructor's arguments (Ray's decorators are typed for functions only)."""
    deploy: Any = serve.deployment
    if cluster_address() is not None:  # replicas there inherit nothing from us
        options = options | {"ray_actor_options": options["ray_actor_options"] | {"runtime_env": runtime_env()}}
    # With a version of its own (Ray gives it a random one otherwise) a deployment that differs in `user_config` only is informed in its
    # running processes; everything else that differs still means new ones.
    # A line for each call of a network, several a second, is what Serve logs otherwise.
    options = options | {"logging_config": {"enable_access_log": False}}
    application: Application = deploy(kind).options(name=name, version=_VERSION, _internal=True, **options).bind(*arguments)
    return application


def model_applications(settings: AppSettings) -> tuple[Application, Application, Application]:
    """Detector, segmenter and classifier of the settings."""
    models, batching = with_weak_boxes(settings), settings.batching
    return (
        model_application("detector", models.detector, batching.detector),
        model_application("segmenter", models.segmenter, batching.segmenter),
        model_application("classifier", models.classifier, batching.classifier),
    )


def model_application(role: str, settings: ModelActorSettings, policy: BatchPolicy, *others: Application) -> Application:
    """One network as a deployment, which may hold others."""
    options = {
        "num_replicas": settings.replicas,
        "max_constructor_retry_count": 2,  # a name or file that is wrong stays wrong
        "max_ongoing_requests": 1000,  # the actor's own batcher bounds what it holds, in frames and bytes
        "ray_actor_options": {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus},
        "user_config": as_user_config(settings, policy),  # not an argument: a change is no reason for a new process
    }
    return bound(ModelReplica, role, options, role, *others)


def handles_of(detector: DeploymentHandle, segmenter: DeploymentHandle, classifier: DeploymentHandle) -> ModelHandles:
    """The router's view of three Serve deployments."""

    async def detect(block: Any) -> DetectorReply:
        reply: DetectorReply = await ask(detector, block)
        return reply

    async def segment(block: Any) -> SegmenterReply:
        reply: SegmenterReply = await ask(segmenter, block)
        return reply

    async def classify(block: Any, boxes_xyxy_px: list[Float32]) -> ClassifierReply:
        reply: ClassifierReply = await ask(classifier, block, boxes_xyxy_px)
        return reply

    return ModelHandles(detect, segment, classify)


async def ask(handle: DeploymentHandle, *arguments: Any) -> Any:
    """The answer of a deployment.

    Raises:
        ActorCrashed: its process died.
        Exception: whatever it raised.
    """
    try:
        return await handle.run.remote(*arguments)
    except ActorDiedError as error:
        raise ActorCrashed(
            expected="an answer",
            got="its process died",
            where=f"replica of {handle.deployment_name}",
            action="Serve starts another one; the call is made again.",
        ) from error


def app_name(settings: AppSettings) -> str:
    """Serve's name for the models of one stream: another run or topic on the same cluster has models of its own.

    Bounded, because Serve names log files after it; the digest keeps names apart that were cut.
    """
    run_id, topic = settings.run_id, settings.kafka.topic
    digest = hashlib.sha256(f"{run_id}/{topic}".encode()).hexdigest()[:8]
    return f"{APP_NAME}-{run_id[:40]}-{topic[:40]}-{digest}"


@contextmanager
def running_models(settings: AppSettings, say: Callable[[str], None] = lambda _: None) -> Iterator[ModelHandles]:
    """Deploy the three models and wait until they answer; needs `ray.init`.

    Args:
        settings: which models.
        say: called when a cluster that may grow has too little for them.

    Raises:
        SettingsError: a model cannot be loaded, or they ask for more than a local Ray has.
    """
    on_cluster, name = cluster_address() is not None, app_name(settings)
    resources: dict[str, float] = ray.cluster_resources()
    lacking = lacking_resources(settings, resources)
    if lacking and not on_cluster:
        raise SettingsError(
            expected="models that fit this machine",
            got=lacking,
            where="models.*.replicas, num_cpus, num_gpus",
            action="Lower them (irstream config show), or set RAY_ADDRESS to a larger cluster.",
        )
    if lacking:
        say(f"the cluster must grow first, or the models wait for ever: {lacking}")
    serve.start(proxy_location="Disabled")
    try:
        deploy_models(settings)
        yield handles_of(*(serve.get_deployment_handle(role, name) for role in ("detector", "segmenter", "classifier")))
    finally:
        if on_cluster:  # a local Ray ends with everything in it, a cluster stays
            delete(name)


def deploy_models(settings: AppSettings) -> None:
    """Have Serve run the three models of these settings, and wait until it does.

    Models that run already and differ only in what they compute (network, weights, postprocessing, batching) are exchanged in
    their running processes: blocks that are there are finished by the network they came to.

    Raises:
        SettingsError: a model cannot be loaded; those that ran before go on where this can be seen beforehand.
    """
    if mistakes := model_mistakes(settings.models):  # once Serve has tried, the old ones are gone
        raise InvalidSettingsError(mistakes)
    name = app_name(settings)
    models, batching = with_weak_boxes(settings), settings.batching
    others = (
        model_application("detector", models.detector, batching.detector),
        model_application("classifier", models.classifier, batching.classifier),
    )
    # An application has one entrance, which holds the others. A process for it alone would take 270 MB and 3 s to start.
    all_three = model_application("segmenter", models.segmenter, batching.segmenter, *others)
    try:
        serve.run(all_three, name=name, route_prefix=None)
    except RuntimeError as error:
        raise SettingsError(
            expected="three models that load",
            got=deployment_faults(name) or str(error),
            where="models",
            action="Check models.* in the settings (irstream config show) and the names and weights they give.",
        ) from error


def delete(name: str) -> None:
    """Take the models off a cluster; a cluster that is gone must not hide why the stream ended."""
    try:
        serve.delete(name)
    except Exception as error:  # noqa: BLE001 - whatever Ray raises when it is away
        _log.warning("the models may still be on the cluster, as Serve application %s: %s", name, error)


def lacking_resources(settings: AppSettings, resources: Mapping[str, float], *others: ModelActorSettings) -> str:
    """CPUs and GPUs that the models reserve above those of Ray; empty when they fit.

    Serve waits for ever for a replica that fits nowhere. Reading needs its share beside them (see `RaySource`).
    """
    models = (settings.models.detector, settings.models.segmenter, settings.models.classifier, *others)
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    reading = 2 * settings.stream.read_cpus
    wanted_cpus = sum(model.replicas * model.num_cpus for model in models) + reading
    wanted_gpus = sum(model.replicas * model.num_gpus for model in models)
    lacking = []
    if wanted_cpus > cpus + _ROUNDING:
        lacking.append(f"{wanted_cpus:g} CPUs reserved ({reading:g} of them for reading) and Ray has {cpus:g}")
    if wanted_gpus > gpus + _ROUNDING:
        lacking.append(f"{wanted_gpus:g} GPUs reserved and Ray has {gpus:g}")
    return ", ".join(lacking)


def deployment_faults(name: str) -> str:
    """Messages of Serve about the deployments that did not start: the last line of each traceback says why."""
    application = serve.status().applications.get(name)
    deployments = {} if application is None else application.deployments
    faults = {role: found.message.strip().splitlines() for role, found in deployments.items() if found.status != "HEALTHY"}
    return "; ".join(f"{role}: {lines[-1]}" for role, lines in faults.items() if lines)
