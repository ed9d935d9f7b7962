"""The shadow of a running stream: its candidate as a Serve application of its own, loaded, exchanged and put away beside production.

Nothing of it may harm production: it is loaded in a thread of its own, and whatever fails is said and ends the shadow alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import ray
from ray import serve

from contracts.errors import SettingsError
from contracts.shadow_run import SHADOW_PREFIX, ShadowRun
from deploy.cluster.session import cluster_address
from deploy.serving import app_name, ask, delete, deployment_faults, lacking_resources, model_application
from deploy.settings.app_settings import AppSettings
from deploy.settings.candidate import shadow_candidate
from deploy.settings.weak_scores import asked_for_weak, finder_score
from pipeline.inference.router import ModelHandles
from pipeline.inference.rules import LiveRules, SensorRules
from pipeline.inference.shadow import LiveShadow, Shadow
from pipeline.table.delta import open_results
from pipeline.table.run_shadow import store_shadow

_NAME = "shadow"


class Shadowing:
    """Loads candidates and hands them to a stream, one at a time."""

    def __init__(
        self, settings: AppSettings, live: LiveShadow, production: ModelHandles, rules: LiveRules, say: Callable[[str], None]
    ) -> None:
        """Nothing is loaded before `exchange`.

        Args:
            settings: of the stream.
            live: of its job.
            production: its three networks.
            rules: of its job.
            say: called with what becomes of the shadow.
        """
        self._live, self._production, self._rules, self._say = live, production, rules, say
        self._app = f"{app_name(settings)}-{_NAME}"
        self._one_at_a_time = threading.Lock()
        self._busy: threading.Thread | None = None
        self._at_work: Shadow | None = None
        self._closed = False
        live.heard_by(say, lambda shadow: self._start(partial(self._put_away, shadow)))

    def exchange(self, settings: AppSettings) -> None:
        """Have the candidate of these settings at work, or none; returns at once, and says later how it went."""
        self._start(partial(self._exchange, settings))

    def wait(self, timeout_s: float) -> None:
        """Return when the candidate is at work, or is not going to be, or after this time."""
        if self._busy is not None:
            self._busy.join(timeout_s)

    @contextmanager
    def at_work(self, settings: AppSettings, *, delete_app: bool) -> Iterator[None]:
        """Have the candidate of the settings, if any, work beside production while the block runs.

        Args:
            settings: of the stream.
            delete_app: True where Ray goes on afterwards.
        """
        if settings.shadow.name is not None:
            self.exchange(settings)
        try:
            yield
        finally:
            self._close(delete_app=delete_app)

    def _close(self, *, delete_app: bool) -> None:
        self._closed = True
        shadow, self._live.now = self._live.now, None
        if shadow is not None:
            self._say_counts(shadow)
        if delete_app and self._at_work is not None:
            delete(self._app)

    def _start(self, work: Callable[[], None]) -> None:
        # A daemon: one that waits for a cluster to grow must not hold the process.
        self._busy = threading.Thread(target=self._guarded, args=(work,), name=_NAME, daemon=True)
        self._busy.start()

    def _guarded(self, work: Callable[[], None]) -> None:
        with self._one_at_a_time:
            if not self._closed:
                work()

    def _exchange(self, settings: AppSettings) -> None:
        self._put_away(self._live.now)
        name = settings.shadow.name
        if name is None:
            return
        try:
            self._at_work, words = self._loaded(settings, f"{SHADOW_PREFIX}{name}")
        except Exception as error:  # noqa: BLE001 - whatever it is, production goes on
            if not self._closed:
                self._say(f"{SHADOW_PREFIX}{name} is not at work, production goes on: {error}")
                delete(self._app)
            return
        self._live.exchange(self._at_work)
        self._say(words)

    def _loaded(self, settings: AppSettings, run_id: str) -> tuple[Shadow, str]:
        """A shadow that is ready, and what to say about it.

        Raises:
            SettingsError: the candidate cannot be used.
            Exception: whatever Ray raises.
        """
        role, actor, card = shadow_candidate(settings)
        adapted: Callable[[SensorRules], SensorRules] = lambda rules: rules  # noqa: E731 - another one for a detector
        if role == "detector":
            adapted = partial(SensorRules.of_finder, finder_score=finder_score(actor))
            actor = asked_for_weak(actor, settings)
        if cluster_address() is None and (lacking := lacking_resources(settings, ray.cluster_resources(), actor)):
            raise SettingsError(
                expected="a candidate that fits beside production",
                got=lacking,
                where="shadow.num_cpus, shadow.num_gpus",
                action="Lower them, or set RAY_ADDRESS to a larger cluster.",
            )
        wanted, options = settings.shadow, settings.sink.plain_storage_options()
        terms = ShadowRun(run_id=run_id, of=settings.run_id, role=role, share=wanted.share, digest=card.digest)
        store_shadow(open_results(settings.sink.table, options), terms, options)
        try:
            handle = serve.run(model_application(role, actor, getattr(settings.batching, role)), name=self._app, route_prefix=None)
        except RuntimeError as error:
            raise SettingsError(
                expected="a candidate that loads",
                got=deployment_faults(self._app) or str(error),
                where="shadow",
                action="Check shadow.* in the settings.",
            ) from error
        shadow = Shadow(
            terms,
            partial(ask, handle),
            self._production,
            settings.stream,
            self._rules,
            patience_s=wanted.patience_s,
            max_lag_s=wanted.max_lag_s,
            adapted=adapted,
        )
        return shadow, f"{run_id}: {card.name} ({card.digest[:12]}) beside the {role} on {wanted.share:.0%} of the frames"

    def _put_away(self, shadow: Shadow | None) -> None:
        """Take the candidate off Ray; the calls that are under way are given up."""
        self._live.exchange(None)
        if shadow is not None:
            self._say_counts(shadow)
        if self._at_work is not None:
            self._at_work = None
            delete(self._app)

    def _say_counts(self, shadow: Shadow) -> None:
        self._say(f"{shadow.terms.run_id}: {shadow.rows['rows']:,} rows, {shadow.rows['passed_over']:,} frames passed over")
