"""The camera feeds of the demo: synthetic sensors that differ in every way, or frames of the user."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

from contracts.frame import Band, ContentType, Platform
from pipeline.inputs.cameras import CameraSequence
from pipeline.inputs.datasets import DatasetIndex
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.find import Labels, find_sequences
from pipeline.inputs.pictures import Picture, PictureSequence, Unusable
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.settings import KafkaSettings
from pipeline.publish import PublishProgress, publish
from synthetic.settings import Scene, SyntheticSettings

SENSORS_AT_MOST = 6
_DATASET_SENSORS = 4
_STEP_AT_MOST = 5  # what is left out is decoded all the same
_CAMERAS = {
    "mast-lwir": SyntheticSettings(
        scene=Scene.SKYLINE, platform=Platform.LAND, band=Band.LWIR, height_px=256, width_px=256, bit_depth=14, seed=1
    ),
    "uav-lwir": SyntheticSettings(
        scene=Scene.GROUND, platform=Platform.AIR, band=Band.LWIR, height_px=512, width_px=640, bit_depth=8, seed=2
    ),
    "coast-mwir": SyntheticSettings(
        scene=Scene.SEA, platform=Platform.LAND, band=Band.MWIR, height_px=256, width_px=320, bit_depth=12, seed=3
    ),
    "orbit-mwir": SyntheticSettings(
        scene=Scene.ORBIT, platform=Platform.SPACE, band=Band.MWIR, height_px=384, width_px=384, bit_depth=16, seed=4
    ),
}


NUM_SYNTHETIC = len(_CAMERAS)


def synthetic_source(fps: float) -> FrameSource:
    """Four synthetic sensors: three platforms, two bands, four sizes, four bit depths; the truth travels in a header."""
    cameras = {name: settings.model_copy(update={"fps": fps}) for name, settings in _CAMERAS.items()}
    return FrameSource([CameraSequence(settings, name, ContentType.PNG, with_truth=True) for name, settings in cameras.items()])


def recorded_source(frames: Path, num_frames: int) -> FrameSource:
    """Images, clips or a data set of the user as several sensors.

    Where there is more than the demo can show, frames are left out evenly, so that a clip is seen to move; clips far apart in
    the folder go to different sensors, because neighbours look alike.

    Raises:
        SettingsError: nothing there that can be published.
    """
    sequences = find_sequences([frames], Labels())
    total = sum(sequence.num_pictures or 0 for sequence in sequences)
    step = min(max(total // num_frames, 1), _STEP_AT_MOST)
    thinned = [Thinned(sequence, step) for sequence in sequences]
    if len(sequences) == 1:
        return FrameSource(thinned, num_sensors=_DATASET_SENSORS if isinstance(sequences[0], DatasetIndex) else 1)
    num_sensors = min(len(thinned), SENSORS_AT_MOST)
    # FrameSource deals the sequences out in turn; each sensor shall play neighbours.
    blocks = [thinned[number * len(thinned) // num_sensors : (number + 1) * len(thinned) // num_sensors] for number in range(num_sensors)]
    dealt = [sequence for turn in zip_longest(*blocks) for sequence in turn if sequence is not None]
    return FrameSource(dealt, num_sensors=num_sensors)


class Thinned:
    """Every `step`-th picture of a sequence."""

    def __init__(self, whole: PictureSequence, step: int) -> None:
        """Keep name and rate of the whole."""
        self.name, self.fps = whole.name, whole.fps
        self._whole, self._step = whole, step

    @property
    def num_pictures(self) -> int | None:
        """Number of frames that are left."""
        whole = self._whole.num_pictures
        return None if whole is None else -(-whole // self._step)

    def pictures(self) -> Iterator[Picture | Unusable]:
        """One pass."""
        return islice(self._whole.pictures(), 0, None, self._step)


class Feed:
    """Publishes a source in a thread, at a rate, up to a number of frames and a time."""

    def __init__(self, source: FrameSource, kafka: KafkaSettings, *, fps: float, num_frames: int, at_most_s: float) -> None:
        """Nothing is sent before `start`."""
        self._source, self._kafka, self._fps, self._num_frames = source, kafka, fps, num_frames
        self._stop = threading.Event()
        self._timer = threading.Timer(at_most_s, self._stop.set)
        self._timer.daemon = True
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._error: Exception | None = None
        self._summary: PublishProgress | None = None
        self._started = False

    def start(self) -> None:
        """Begin to send; does nothing the second time."""
        if not self._started:
            self._started = True
            self._timer.start()
            self._thread.start()

    @property
    def done(self) -> bool:
        """True when everything is sent and acknowledged (or has failed)."""
        return self._started and not self._thread.is_alive()

    @property
    def sent(self) -> int | None:
        """Number of acknowledged messages, once `done`; 0 after a failure, which `close` raises."""
        if not self.done:
            return None
        return self._summary.acked if self._summary is not None else 0

    def end(self) -> None:
        """Send no more; what was sent is still acknowledged."""
        self._stop.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until `done`; False when it is not within the time."""
        self._thread.join(timeout_s)
        return self.done

    def close(self) -> PublishProgress | None:
        """Stop sending and wait for the end; what was sent, None when never started.

        Raises:
            IrstreamError: the broker was away for too long, or the topic is gone.
        """
        self._stop.set()
        self._timer.cancel()
        if self._started:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._summary

    def _run(self) -> None:
        try:
            with SteadyProducer(self._kafka) as producer:
                self._summary = publish(self._source, producer, self._kafka.topic, fps=self._fps, limit=self._num_frames, stop=self._stop)
        except Exception as error:  # noqa: BLE001 - raised again by `close`, in the thread that can act on it
            self._error = error
