"""Turn a trained checkpoint into weights that ship: `python -m training.export acm`.

Chooses thresholds on `select` images, writes half-precision safetensors, reads them back, measures what was read on
`test` images and writes the card. `--measure` only prints the figures of weights that are already there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from pydantic import BaseModel, JsonValue
from torch.utils.flop_counter import FlopCounterMode

from contracts.errors import SettingsError
from models.card import Measurement, ModelCard, write_card
from models.classification.basic_cnn import BasicCnn
from models.detection.fcos import LightFcos
from models.interface import MetadataBatch
from models.segmentation.base import SegmentationModel
from models.transforms import PREPROCESS_VERSION
from models.weights import WEIGHTS_FOLDER, load_weights, save_weights
from models.zoo import AnyModel, create_model, load_model
from training.classification import ClassificationRecipe
from training.commands import tells_mistakes
from training.datasets import SYNTHETIC, Role
from training.detection import DetectionRecipe
from training.measure import (
    choose_score_threshold,
    choose_segmentation_threshold,
    measure_classification,
    measure_detection,
    measure_segmentation,
)
from training.segmentation import SegmentationRecipe
from training.train import RUNS

PAPERS = {
    "acm": "Dai et al., Asymmetric Contextual Modulation for Infrared Small Target Detection, WACV 2021, arXiv:2009.14530",
    "unet_light": "Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597 (plain, 16 base channels)",
    "fcos_light": "Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019, arXiv:1904.01355 (light, one class)",
    "basic_cnn": "Basic CNN baseline of the adaptive-attention infrared classifier paper (48-96-192-384 channels), 48 px grey crops",
}
LICENCES = {
    "nudt-sirst": "NUDT-SIRST: none stated (research use, cite)",
    "irstd-1k": "IRSTD-1k: MIT",
    "sirst-v2": "SIRST-V2: none stated (research use, cite)",
    "hit-uav": "HIT-UAV: CC BY 4.0",
    "drone-ir": "Drone-detection-dataset: CC0 1.0",
    "drone-ir-clips": "Drone-detection-dataset clips: CC0 1.0",
    SYNTHETIC: "own synthetic frames: Apache-2.0",
}
FRAME_PX = 256


def export(name: str, checkpoint: Path, weights: Path) -> ModelCard:
    """Write weights and card of a trained network.

    Args:
        name: registered name.
        checkpoint: as `training.loop` writes it.
        weights: safetensors file to write; the card goes beside it.

    Raises:
        SettingsError: no such checkpoint, or the images to choose thresholds on are not there.
    """
    if not checkpoint.is_file():
        raise SettingsError(
            expected="a checkpoint",
            got="no such file",
            where=str(checkpoint),
            action=f"Train first (python -m training.train {name}) or name another one (--checkpoint).",
        )
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    model = create_model(name)
    model.load_state_dict(state["average"])
    weights.parent.mkdir(parents=True, exist_ok=True)
    digest = save_weights(model.eval(), weights)
    load_weights(model, weights)
    model.configure(_choose(model))
    settings = model.settings
    assert isinstance(settings, BaseModel)
    minutes = round(float(state["spent_s"]) / 60, 1)
    recipe: dict[str, JsonValue] = {
        "command": f"python -m training.train {name} --minutes {minutes}",
        "steps": int(state["steps"]),
        "processor_minutes": minutes,
        "details": "AdamW, one cycle, averaged weights, last checkpoint; crops and losses as in training/; no test image took part",
    }
    card = ModelCard(
        name=name,
        task=str(model.task),
        paper=PAPERS[name],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gmacs=round(gmacs(model, model.input_spec.fixed_size_px or FRAME_PX), 4),
        input_px=model.input_spec.fixed_size_px or FRAME_PX,
        classes=model.class_names,
        data=", ".join(_sets(model)) + " (training splits)",
        data_licence="; ".join(LICENCES[dataset] for dataset in _sets(model)),
        recipe=recipe,
        postprocess=settings.model_dump(),
        measured=tuple(measurements(model)),
        preprocess_version=PREPROCESS_VERSION,
        digest=digest,
    )
    write_card(card, weights.with_suffix(".json"))
    return card


def measurements(model: AnyModel, role: Role = Role.TEST) -> list[Measurement]:
    """The figures of a network on the images of a role."""
    command = f"python -m training.export {model.name} --measure"
    if isinstance(model, SegmentationModel):
        return measure_segmentation(model, role, command)
    if isinstance(model, LightFcos):
        return measure_detection(model, role, command)
    assert isinstance(model, BasicCnn)
    return measure_classification(model, role, command)


def gmacs(model: AnyModel, side_px: int) -> float:
    """Multiply-adds (1e9) for one square input: torch's flop counter divided by two."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, side_px, side_px), MetadataBatch.unknown((side_px, side_px)))
    return float(counter.get_total_flops()) / 2e9


def _choose(model: AnyModel) -> dict[str, float]:
    if isinstance(model, SegmentationModel):
        return choose_segmentation_threshold(model)
    return choose_score_threshold(model) if isinstance(model, LightFcos) else {}


def _sets(model: AnyModel) -> tuple[str, ...]:
    """Whose training splits its recipe draws from."""
    if isinstance(model, SegmentationModel):
        return tuple(SegmentationRecipe().shares)
    if isinstance(model, LightFcos):
        return tuple(DetectionRecipe().shares)
    recipe = ClassificationRecipe()
    return recipe.named_sets + recipe.unnamed_sets


@tells_mistakes
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=sorted(PAPERS))
    parser.add_argument("--checkpoint", type=Path, help="default runs/train/NAME/checkpoint.pt")
    parser.add_argument("--weights", type=Path, help="default: those that ship, in models/weights")
    parser.add_argument("--measure", action="store_true", help="only measure existing weights and print")
    parser.add_argument("--role", type=Role, choices=list(Role), default=Role.TEST, help="with --measure: images to measure on")
    arguments = parser.parse_args()
    weights = arguments.weights or WEIGHTS_FOLDER / f"{arguments.name}.safetensors"
    if arguments.measure:
        measured: list[Measurement] = measurements(load_model(arguments.name, weights)[0], arguments.role)
    else:
        measured = list(export(arguments.name, arguments.checkpoint or RUNS / arguments.name / "checkpoint.pt", weights).measured)
    for measurement in measured:
        print(json.dumps({"data": measurement.data} | measurement.values))


if __name__ == "__main__":
    main()
