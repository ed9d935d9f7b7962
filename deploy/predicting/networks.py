"""The three networks as actors of this process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from actors.classifier import ClassifierActor
from actors.detector import DetectorActor
from actors.segmenter import SegmenterActor
from deploy.settings.app_settings import AppSettings, ModelsSettings
from pipeline.inference.router import ModelHandles


@contextmanager
def networks_here(settings: AppSettings, models: ModelsSettings, runner: asyncio.Runner) -> Iterator[ModelHandles]:
    """Load the networks of the settings, and close them at the end.

    Args:
        settings: `batching`.
        models: which networks.
        runner: of the loop on which they will be asked.

    Raises:
        SettingsError: network, weights or device cannot be used as the settings say.
    """
    batching = settings.batching
    detector = DetectorActor(models.detector, batching.detector)
    segmenter = SegmenterActor(models.segmenter, batching.segmenter)
    classifier = ClassifierActor(models.classifier, batching.classifier)
    try:
        yield ModelHandles(detector.run, segmenter.run, classifier.run)
    finally:
        for actor in (detector, segmenter, classifier):
            runner.run(actor.close())
