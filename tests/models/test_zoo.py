"""Every network whose weights ship, present and future, passes these; those without weights are in `test_segmenters`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.errors import SettingsError
from contracts.outputs import Classification, Detections, Segmentation
from models.card import read_card, write_card
from models.classification.classes import CLASS_NAMES
from models.folding import fold_batch_norms
from models.inference import prepare
from models.interface import MetadataBatch, Task
from models.normalisation import measure
from models.transforms import PREPROCESS_VERSION, normalise, padded_size
from models.weights import WEIGHTS_FOLDER, digest_of, load_weights, save_weights
from models.zoo import AnyModel, create_model, list_models, list_trained, load_model, register_model

NAMES = list_trained()
FRAME_PX = (112, 83)


def inputs_of(model: AnyModel, num: int = 3, seed: int = 0) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """Structured noise with bright spots, padded to what the model accepts."""
    rng = np.random.default_rng(seed)
    side = model.input_spec.fixed_size_px
    size = (side, side) if side else FRAME_PX
    padded = padded_size(*size, model.input_spec.size_multiple_px)
    batch = np.zeros((num, 1, *padded), np.float32)
    for item in range(num):
        frame = rng.normal(100, 5, size)
        frame[20:24, 30:35] += 80
        counts = frame.clip(0, 255).astype(np.uint8)
        batch[item, 0, : size[0], : size[1]] = normalise(counts, measure(counts, 8))
    return torch.from_numpy(batch), [size] * num


def outputs_equal(one: object, other: object) -> bool:
    """Whether two outputs agree to rounding."""
    assert type(one) is type(other)
    if isinstance(one, Classification) and isinstance(other, Classification):
        return np.allclose(one.scores, other.scores, atol=1e-4)
    assert isinstance(one, Detections | Segmentation)
    assert isinstance(other, Detections | Segmentation)
    return (
        len(one) == len(other)
        and np.allclose(one.boxes_xyxy_px, other.boxes_xyxy_px, atol=1e-2)
        and np.allclose(one.scores, other.scores, atol=1e-4)
    )


def tensors(raw: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (raw,) if isinstance(raw, torch.Tensor) else raw


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest) -> AnyModel:
    return load_model(request.param)[0]


def test_all_three_tasks_have_a_network() -> None:
    assert {create_model(name).task for name in NAMES} == set(Task)
    every = set(list_models())
    assert set(list_models(Task.SEGMENTATION)) | set(list_models("detection")) | set(list_models(Task.CLASSIFICATION)) == every
    assert set(NAMES) <= every
    assert [list_trained(task) for task in Task] == [[name for name in NAMES if create_model(name).task == task] for task in Task]


def test_the_first_networks_have_their_published_size() -> None:
    counts = {name: sum(parameter.numel() for parameter in create_model(name).parameters()) for name in NAMES}
    assert counts["acm"] == 397_823  # BasicIRSTD
    assert 1.9e6 < counts["unet_light"] < 2.0e6
    assert round(counts["basic_cnn"] / 1e6, 2) == 0.88


@pytest.mark.parametrize("name", NAMES)
def test_card_belongs_to_weights_and_network(name: str) -> None:
    model, card = load_model(name)
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    assert card.digest == digest_of(path)
    assert card.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert card.task == model.task
    assert card.preprocess_version == PREPROCESS_VERSION
    assert card.measured
    assert all(measurement.values for measurement in card.measured)
    assert card.classes == model.class_names
    assert not model.training


def test_weights_of_one_set_say_so_and_how_to_measure_them() -> None:
    paths = sorted(WEIGHTS_FOLDER.glob("*/*.safetensors"))
    assert paths
    for path in paths:
        _, card = load_model(path.stem, path)
        assert card.digest == digest_of(path)
        assert card.data.split()[0] == path.parent.name
        assert [each.command for each in card.measured] == [
            f"irstream evaluate models/weights/{path.parent.name}/{path.name} {path.parent.name}"
        ]
        assert path.stat().st_size < 4e6


def test_only_safetensors_and_cards_ship_and_they_are_small() -> None:
    files = [path for path in WEIGHTS_FOLDER.iterdir() if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    assert {path.stem for path in files} == set(NAMES)
    sizes = [path.stat().st_size for path in files]
    assert sum(sizes) < 16e6
    assert max(sizes) < 4e6


def test_raw_output_has_one_entry_per_item_and_is_finite(trained: AnyModel) -> None:
    pixels, sizes = inputs_of(trained)
    with torch.inference_mode():
        raw = tensors(trained(pixels, MetadataBatch.unknown(sizes[0], len(sizes))))
    assert all(part.shape[0] == len(sizes) and torch.isfinite(part).all() for part in raw)
    outputs = trained.postprocess(raw, sizes)
    assert len(outputs) == len(sizes)


def test_answers_do_not_depend_on_the_batch(trained: AnyModel) -> None:
    pixels, sizes = inputs_of(trained)
    model = prepare(trained, dtype=torch.float32)
    together = trained.postprocess(model.forward(pixels, MetadataBatch.unknown(sizes[0], len(sizes))), sizes)
    for item in range(len(sizes)):
        alone = trained.postprocess(model.forward(pixels[item : item + 1], MetadataBatch.unknown(sizes[0])), sizes[:1])
        assert outputs_equal(alone[0], together[item])


def test_answers_are_deterministic(trained: AnyModel) -> None:
    pixels, sizes = inputs_of(trained)
    model = prepare(trained, dtype=torch.float32)
    first, second = (tensors(model.forward(pixels, MetadataBatch.unknown(sizes[0], len(sizes)))) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_nothing_is_reported_outside_the_item(trained: AnyModel) -> None:
    """Raw outputs that claim targets everywhere, also in the padding."""
    pixels, sizes = inputs_of(trained)
    with torch.inference_mode():
        raw = tensors(trained(pixels, MetadataBatch.unknown(sizes[0], len(sizes))))
    loud = tuple(torch.full_like(part, 3.0) for part in raw)
    for output, (height, width) in zip(trained.postprocess(loud if len(loud) > 1 else loud[0], sizes), sizes, strict=True):
        if isinstance(output, Detections | Segmentation):
            assert len(output) > 0
            assert (output.boxes_xyxy_px[:, :2] >= 0).all()
            assert (output.boxes_xyxy_px[:, 2:] <= [width, height]).all()
            assert (output.boxes_xyxy_px[:, 2:] > output.boxes_xyxy_px[:, :2]).all()
        else:
            np.testing.assert_allclose(output.scores.sum(1), 1, rtol=1e-5)


def test_metadata_is_accepted_known_or_unknown(trained: AnyModel) -> None:
    pixels, sizes = inputs_of(trained, num=1)
    for platform in range(4):
        metadata = MetadataBatch(torch.tensor([platform]), torch.tensor([platform]), torch.tensor([sizes[0]], dtype=torch.float32))
        with torch.inference_mode():
            assert all(torch.isfinite(part).all() for part in tensors(trained(pixels, metadata)))


def test_folding_batch_norms_changes_rounding_only(trained: AnyModel) -> None:
    pixels, sizes = inputs_of(trained)
    metadata = MetadataBatch.unknown(sizes[0], len(sizes))
    with torch.inference_mode():
        plain = tensors(trained(pixels, metadata))
    folded = prepare(trained, dtype=torch.float32)
    for one, other in zip(plain, tensors(folded.forward(pixels, metadata)), strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)
    left = [module for module in folded.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(left) <= 1, "only the norm of the input, which follows no convolution, may stay"


def test_folding_needs_evaluation_mode() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norms(create_model("acm").train())


def test_8_and_14_bit_frames_of_one_scene_get_the_same_answer(trained: AnyModel) -> None:
    side = trained.input_spec.fixed_size_px or 96
    eight = np.random.default_rng(3).normal(120, 6, (side, side)).clip(0, 255).astype(np.uint8)
    eight[20:24, 20:24] = 255
    fourteen = eight.astype(np.uint16) * np.uint16(64)
    model = prepare(trained, dtype=torch.float32)
    raws = []
    for pixels_HW in (normalise(eight, measure(eight, 8)), normalise(fourteen, measure(fourteen, 14))):
        pixels = torch.from_numpy(pixels_HW)[None, None]
        raws.append(tensors(model.forward(pixels, MetadataBatch.unknown((side, side)))))
    for one, other in zip(*raws, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_weights_survive_saving(name: str, tmp_path: Path) -> None:
    model, copy = create_model(name), create_model(name)
    path = tmp_path / "weights.safetensors"
    digest = save_weights(model, path)
    load_weights(copy, path)
    assert digest == digest_of(path)
    for one, other in zip(model.state_dict().values(), copy.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(SettingsError, match=f"expected one of {', '.join(list_models())}, got .*nonesuch"):
        create_model("nonesuch")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.safetensors.*Train it first"):
        load_model("acm", tmp_path / "nowhere.safetensors")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(create_model("basic_cnn"), path)
    with pytest.raises(SettingsError, match="expected the tensors of Acm"):
        load_weights(create_model("acm"), path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    torch.save(create_model("basic_cnn").state_dict(), path)
    with pytest.raises(SettingsError, match="expected a readable safetensors file"):
        load_weights(create_model("basic_cnn"), path)


def test_changed_weights_are_noticed(tmp_path: Path) -> None:
    card = read_card(WEIGHTS_FOLDER / "basic_cnn.json")
    save_weights(create_model("basic_cnn"), tmp_path / "basic_cnn.safetensors")
    write_card(card, tmp_path / "basic_cnn.json")
    with pytest.raises(SettingsError, match="expected digest"):
        load_model("basic_cnn", tmp_path / "basic_cnn.safetensors")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param({"name": "acm"}, "expected name basic_cnn, got acm", id="name"),
        pytest.param({"task": "detection"}, "expected task classification, got detection", id="task"),
        pytest.param({"preprocess_version": "0"}, f"expected preprocess_version {PREPROCESS_VERSION}, got 0.*Train", id="preprocessing"),
        pytest.param({"classes": CLASS_NAMES[::-1]}, "expected classes person, car.*got helicopter, drone.*Train", id="classes"),
    ],
)
def test_weights_that_this_code_would_misread_are_refused(change: dict[str, object], text: str, tmp_path: Path) -> None:
    path = tmp_path / "basic_cnn.safetensors"
    digest = save_weights(create_model("basic_cnn"), path)
    card = read_card(WEIGHTS_FOLDER / "basic_cnn.json").model_copy(update={"digest": digest})
    write_card(card, path.with_suffix(".json"))
    load_model("basic_cnn", path)
    write_card(card.model_copy(update=change), path.with_suffix(".json"))
    with pytest.raises(SettingsError, match=text):
        load_model("basic_cnn", path)


def test_a_card_survives_writing(tmp_path: Path) -> None:
    card = read_card(WEIGHTS_FOLDER / "acm.json")
    write_card(card, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="is taken by Acm"):
        register_model("acm")(type(create_model("basic_cnn")))


def test_naming_models_is_cheap_and_thresholds_of_a_card_are_checked() -> None:
    code = "import sys, models.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(ValueError, match="threshold"):
        create_model("acm").configure({"threshold": 2.0})
    with pytest.raises(ValueError, match="nonesuch"):
        create_model("fcos_light").configure({"nonesuch": 1})


@pytest.mark.slow
def test_running_a_network_imports_no_compiler() -> None:
    code = """
import sys, torch
import actors.detector, actors.segmenter, actors.classifier
from models.interface import MetadataBatch
from models.zoo import list_trained, load_model
for name in list_trained():
    load_model(name)[0].eval()(torch.zeros(1, 1, 64, 64), MetadataBatch.unknown((64, 64)))
print([name for name in ("torchvision", "torch._dynamo", "sympy", "pandas", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), f"seconds in every process: {done.stderr}"
