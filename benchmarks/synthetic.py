"""What a synthetic frame costs: processor time of painting a scene, of a frame, and of encoding it as PNG.

    python -m benchmarks.synthetic

Processor time of one thread, because wall time on a shared machine measures the neighbours. `first` is the mean over the first
frames (silhouettes are still being painted), `then` the median over further ones.
"""

from __future__ import annotations

import statistics
import time

from contracts.codecs import encode_pixels
from contracts.frame import ContentType
from synthetic.camera import SyntheticCamera
from synthetic.settings import Scene, SyntheticSettings

_NUM_FRAMES = 20


def measure(scene: Scene, side_px: int, bit_depth: int) -> str:
    """One line of the table."""
    began = time.process_time()
    camera = SyntheticCamera(SyntheticSettings(scene=scene, height_px=side_px, width_px=side_px, bit_depth=bit_depth, seed=3))
    painted_s = time.process_time() - began
    frame_ms, encode_ms = [], []
    for index in range(2 * _NUM_FRAMES):
        began = time.process_time()
        frame = camera.frame(index)
        made = time.process_time()
        encode_pixels(frame.pixels_HW, ContentType.PNG)
        frame_ms.append(1e3 * (made - began))
        encode_ms.append(1e3 * (time.process_time() - made))
    first, then = statistics.mean(frame_ms[:_NUM_FRAMES]), statistics.median(frame_ms[_NUM_FRAMES:])
    return f"| {scene.value} | {side_px} | {bit_depth} | {painted_s:.2f} | {first:.1f} | {then:.1f} | {statistics.median(encode_ms):.1f} |"


def main() -> None:
    """Print the table."""
    print("| scene | side px | bit | scene s | first ms | then ms | PNG ms |\n|---|---|---|---|---|---|---|")
    for scene in Scene:
        for side_px, bit_depth in ((256, 14), (256, 8), (512, 14)):
            print(measure(scene, side_px, bit_depth), flush=True)
    print(measure(Scene.SKY, 2048, 14))


if __name__ == "__main__":
    main()
