"""Load of a soak run: sensors that come and go, each with its own id, size and bit depth, at one total rate."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from contracts.codecs import encode_pixels
from contracts.frame import ContentType
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.settings import KafkaSettings
from synthetic.camera import SyntheticCamera
from synthetic.settings import Scene, SyntheticSettings

SIZES_PX = ((128, 128), (160, 192), (120, 160), (96, 256))  # height, width
BIT_DEPTHS = (8, 10, 12, 14, 16)
NUM_SENSORS = 4
_FRAMES_OF_A_SENSOR = 24  # painted once, then repeated: the stream is measured, not the painter


@dataclass(frozen=True)
class Sensor:
    """One source of frames.

    Attributes:
        name: its id, never used again once it has gone.
        values: encoded frames, sent in turn.
        bit_depth: of all of them.
    """

    name: str
    values: tuple[bytes, ...]
    bit_depth: int


def new_sensor(number: int, dice: random.Random) -> Sensor:
    """Paint a sensor's frames."""
    (height_px, width_px), bit_depth = SIZES_PX[number % len(SIZES_PX)], dice.choice(BIT_DEPTHS)
    scene = dice.choice(list(Scene))
    camera = SyntheticCamera(SyntheticSettings(scene=scene, height_px=height_px, width_px=width_px, bit_depth=bit_depth, seed=number))
    values = tuple(encode_pixels(camera.frame(index).pixels_HW, ContentType.PNG) for index in range(_FRAMES_OF_A_SENSOR))
    return Sensor(f"soak-{number}-{width_px}x{height_px}-{bit_depth}", values, bit_depth)


class Load:
    """Sends frames of the present sensors; a thread of its own keeps the rate."""

    def __init__(self, kafka: KafkaSettings, report: Callable[[dict[str, object]], None]) -> None:
        """Paint the first sensors; nothing is sent yet."""
        self._kafka = kafka
        self._report = report
        self._dice = random.Random(1)  # noqa: S311
        self._born = 0
        self._sensors: list[Sensor] = []
        self._producer = SteadyProducer(kafka)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.num_sent = 0
        for _ in range(NUM_SENSORS):
            self._add()

    def burst(self, num: int) -> None:
        """Send frames as fast as the broker takes them."""
        for _ in range(num):
            self._send()
        self._producer.flush(120)

    def run_at(self, fps: float, change_every_s: float) -> None:
        """Keep sending in the background; one sensor goes and another comes every so often."""
        self._thread = threading.Thread(target=self._run, args=(fps, change_every_s), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop and wait until all is acknowledged."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._producer.flush(120)
        self._producer.close()

    def _run(self, fps: float, change_every_s: float) -> None:
        due_s = change_s = time.monotonic()
        while not self._stop.is_set():
            if time.monotonic() - change_s > change_every_s:
                change_s = time.monotonic()
                gone = self._sensors.pop(0)
                self._add()
                self._report({"gone": gone.name, "came": self._sensors[-1].name, "sent": self.num_sent})
                due_s = max(due_s, time.monotonic() - 1)  # painting took a moment: no burst to make up for it
            self._send()
            due_s += 1 / fps
            self._stop.wait(max(0.0, due_s - time.monotonic()))

    def _add(self) -> None:
        self._sensors.append(new_sensor(self._born, self._dice))
        self._born += 1

    def _send(self) -> None:
        sensor = self._sensors[self.num_sent % len(self._sensors)]
        headers = [("content-type", b"image/png"), ("ir_bit_depth", str(sensor.bit_depth).encode())]
        self._producer.send(self._kafka.topic, sensor.name.encode(), sensor.values[self.num_sent % len(sensor.values)], headers)
        self.num_sent += 1
