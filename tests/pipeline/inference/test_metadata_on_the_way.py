"""Platform and band go from the headers of a message to all three networks, as the codes that trained weights know."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from torch import Tensor

from actors.classifier import ClassifierActor
from actors.detector import DetectorActor
from actors.segmenter import SegmenterActor
from actors.settings import BatchPolicy, ModelActorSettings
from contracts.block import FrameBlock, pack_block
from contracts.codecs import encode_pixels
from contracts.frame import ContentType, Frame, RawRecord
from contracts.limits import InputLimits
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import FrameResult, Outcome
from models import zoo
from models.interface import BANDS, PLATFORMS, MetadataBatch
from pipeline.inference.router import ModelHandles, Router
from pipeline.inference.rules import LiveRules
from pipeline.ingest.decode import decode_record
from pipeline.settings import StreamSettings
from tests.actors import fake_models
from tests.actors.conftest import PLAIN

# What a producer sends; the code the networks get; what the row says. Written out: the codes are part of trained weights.
MESSAGES: list[tuple[dict[str, str], tuple[int, int], tuple[str, str]]] = [
    ({"ir_platform": "land", "ir_band": "nir"}, (0, 0), ("land", "nir")),
    ({"ir_platform": "air", "ir_band": "swir"}, (1, 1), ("air", "swir")),
    ({"ir_platform": "SPACE", "ir_band": "MWIR"}, (2, 2), ("space", "mwir")),
    ({"ir_platform": "air", "ir_band": "lwir"}, (1, 3), ("air", "lwir")),
    ({"ir_band": "lwir"}, (3, 3), ("unknown", "lwir")),
    ({"ir_platform": "land"}, (0, 4), ("land", "unknown")),
]
HEIGHT_PX, WIDTH_PX = 48, 80


class _Notes:
    """Networks that answer as the fake ones do, and keep what they were told by task."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: dict[str, list[MetadataBatch]] = {}
        zoo.list_models()
        for kind in fake_models.FAKES:
            monkeypatch.setitem(zoo._registry, kind.name, self._noting(kind))

    def _noting(self, kind: type[Any]) -> type[Any]:
        told = self.told.setdefault(str(kind.task), [])

        class Noting(kind):
            def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
                told.append(metadata)
                answer: Tensor = super().forward(pixels_BCHW, metadata)
                return answer

        return Noting


def targets_of(index: int) -> int:
    """Frame by frame another number, so that a crop with the metadata of another frame is seen."""
    return 1 + index % 3


def frames_of_messages() -> tuple[Frame, ...]:
    frames = []
    for index, (headers, _, _) in enumerate(MESSAGES):
        pixels_HW = np.random.default_rng(index).normal(1200, 60, (HEIGHT_PX, WIDTH_PX)).astype(np.uint16)
        for target in range(targets_of(index)):
            pixels_HW[10:13, 12 + 24 * target : 15 + 24 * target] = 12_000
        record = RawRecord(
            KafkaPosition("frames", 0, index),
            b"cam-1",
            encode_pixels(pixels_HW, ContentType.PNG),
            tuple((name, word.encode()) for name, word in headers.items()),
            1_772_366_400_250,
        )
        frame = decode_record(record, InputLimits())
        assert isinstance(frame, Frame), frame
        frames.append(frame)
    return tuple(frames)


def route(folder: Path) -> tuple[Outcome, ...]:
    """All messages as one block through the three real actors."""
    policy = BatchPolicy(max_batch_size=32, max_wait_s=0.01)

    def settings(name: str) -> ModelActorSettings:
        weights = str(fake_models.write_weights(name, folder))
        return ModelActorSettings.model_validate({"model": name, "weights": weights} | PLAIN)

    detector = DetectorActor(settings("fake_detector"), policy)
    segmenter = SegmenterActor(settings("fake_segmenter"), policy)
    classifier = ClassifierActor(settings("fake_classifier"), policy)
    read_at = datetime.now(UTC)
    block = pack_block(FrameBlock(OffsetRange("frames", 0, 0, len(MESSAGES)), frames_of_messages(), (), None, 0, read_at, 0.0, 0))

    async def fetch(ref: pa.Table) -> pa.Table:
        return ref

    async def scenario() -> tuple[Outcome, ...]:
        try:
            router = Router(ModelHandles(detector.run, segmenter.run, classifier.run), StreamSettings(), LiveRules())
            return (await router.route(block, fetch)).outcomes
        finally:
            await asyncio.gather(detector.close(), segmenter.close(), classifier.close())

    return asyncio.run(scenario())


def codes_of(batches: list[MetadataBatch]) -> list[tuple[int, int]]:
    return [pair for batch in batches for pair in zip(batch.platform_B.tolist(), batch.band_B.tolist(), strict=True)]


def test_headers_reach_every_network_as_the_codes_it_was_trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = _Notes(monkeypatch)

    outcomes = route(tmp_path)

    codes = [code for _, code, _ in MESSAGES]
    assert codes_of(notes.told["detection"]) == codes
    assert codes_of(notes.told["segmentation"]) == codes
    # The classifier's start computes one shape of its own, with nothing known of it.
    start, *batches = notes.told["classification"]
    assert codes_of([start]) == [(3, 4)]
    assert codes_of(batches) == [code for index, code in enumerate(codes) for _ in range(targets_of(index))]
    for batch in [*notes.told["detection"], *notes.told["segmentation"], *batches]:
        assert set(map(tuple, batch.size_px_B2.tolist())) == {(HEIGHT_PX, WIDTH_PX)}, "of the whole frame, not of the crop"
    rows = [outcome for outcome in outcomes if isinstance(outcome, FrameResult)]
    assert [len(row.detections) for row in rows] == [targets_of(index) for index in range(len(MESSAGES))]
    assert [(row.platform, row.band) for row in rows] == [words for _, _, words in MESSAGES]


def test_codes_of_words_stay_as_trained_weights_know_them() -> None:
    assert list(PLATFORMS) == ["land", "air", "space", "unknown"]
    assert list(BANDS) == ["nir", "swir", "mwir", "lwir", "unknown"]
