"""What each way of computing gains and changes: `python -m benchmarks.inference [NAME[=WEIGHTS]...] [--compiled]`.

For each segmenter: as trained (batch norms, branches, channels first), folded, folded with channels last, that in bfloat16, and
compiled. Times are ratios to the first way, of passes that take turns in one run (above 1: faster). The change of IoU, in points,
is that of the masks on the test images of a data set.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch

from benchmarks.commands import reports_mistakes
from evaluation.segmentation import SegmentationMetrics
from models.cost import FRAME_PX, latencies_ms
from models.devices import choose_device, fastest_dtype
from models.folding import fold_batch_norms
from models.inference import InferenceModel, prepare
from models.interface import Task
from models.segmentation.base import SegmentationModel
from models.zoo import create_model, list_trained, load_model
from training.data.samples import Role, Sample, read_samples
from training.tasks.measuring import probability_maps

BATCHES = (1, 4, 16)


def ways_of(network: SegmentationModel, device: torch.device, *, compiled: bool) -> Mapping[str, InferenceModel]:
    """The network prepared in every way, the plain one first."""
    plain = deepcopy(network).eval().requires_grad_(False).to(device)
    folded = fold_batch_norms(deepcopy(plain))
    ways = {
        "as trained": InferenceModel(plain, device, torch.float32, plain),
        "folded": InferenceModel(folded, device, torch.float32, folded),
        "and channels last": prepare(network, device, torch.float32),
        "and bfloat16": prepare(network, device, torch.bfloat16),
    }
    if not compiled:
        return ways
    return ways | {
        "compiled": prepare(network, device, torch.float32, compiled=True),
        "compiled, bfloat16": prepare(network, device, torch.bfloat16, compiled=True),
    }


def iou_percent(model: InferenceModel, samples: Sequence[Sample], threshold: float) -> float:
    """IoU over all images at a threshold."""
    metrics = SegmentationMetrics()
    for sample, map_HW in probability_maps(model, samples):
        metrics.update((map_HW > threshold) & (sample.unknown_HW == 0), sample.mask_HW > 0)
    return metrics.compute().iou * 100


def report(
    name: str, weights: str | None, samples: Sequence[Sample], rounds: int, device: torch.device, batches: Sequence[int], *, compiled: bool
) -> None:
    """Print the lines of one network: with random weights, and without masks, where none ship and none are named."""
    trained = weights is not None or name in list_trained()
    network = load_model(name, weights)[0] if trained else create_model(name)
    if not isinstance(network, SegmentationModel):
        raise TypeError(f"expected a segmenter, got {name} ({network.task})")
    ways = ways_of(network, device, compiled=compiled)
    times = [latencies_ms(list(ways.values()), FRAME_PX, batch, rounds) for batch in batches]
    samples = samples if trained else ()
    ious = {way: iou_percent(model, samples, network.settings.threshold) for way, model in ways.items()} if samples else {}
    for index, way in enumerate(ways):
        ratios = [at_batch[0][0] / at_batch[index][0] for at_batch in times]
        change = f"{ious[way] - ious['as trained']:+.3f}" if ious else "-"
        print(f"{name:16} {way:18} " + " ".join(f"{ratio:9.2f}" for ratio in ratios) + f" {change:>10}", flush=True)
    fastest = [min(at_batch[index][0] for index in range(len(ways))) / batch for at_batch, batch in zip(times, batches, strict=True)]
    print(f"{name:16} {'fastest, ms/frame':18} " + " ".join(f"{each:9.3f}" for each in fastest), flush=True)


@reports_mistakes
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("networks", nargs="*", default=list_trained(Task.SEGMENTATION), help="NAME, or NAME=weights.safetensors")
    parser.add_argument("--dataset", default="nudt-sirst", help="for the change of IoU")
    parser.add_argument("--images", type=int, default=100, help="of it; 0 without data")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--compiled", action="store_true", help="also torch.compile (two minutes a network)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(choose_device(arguments.device))
    samples = read_samples([arguments.dataset], Role.TEST)[: arguments.images] if arguments.images else []
    cpus = f"{os.cpu_count()} CPUs, {arguments.threads} threads, {torch.backends.cpu.get_cpu_capability()}"
    print(f"{torch.cuda.get_device_name(device) if device.type == 'cuda' else cpus}, torch {torch.__version__},")
    print(f"fastest format by the probe {fastest_dtype(str(device))}; IoU on {len(samples)} test images of {arguments.dataset}")
    print(f"{'network':16} {'way':18} " + " ".join(f"batch {batch:3}" for batch in arguments.batches) + f" {'IoU points':>10}")
    for each in arguments.networks:
        name, _, weights = each.partition("=")
        report(name, weights or None, samples, arguments.rounds, device, arguments.batches, compiled=arguments.compiled)


if __name__ == "__main__":
    main()
