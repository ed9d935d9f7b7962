"""Weights that go on: all of a network, its head alone, or classes by a few examples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from contracts.errors import SettingsError
from deploy.cli.main import main
from models.classification.base import ClassificationModel
from models.heads import learn_head_alone
from models.interface import MetadataBatch
from models.weights import WEIGHTS_FOLDER
from models.zoo import create_model, list_models
from training.tasks.prototypes import imprint

# Those of hundreds of MB are built as their smaller siblings are, auxdet's head is that of faster_rcnn.
_HEAVY = ("vgg16", "_r50", "_r101", "_r34", "uiunet", "resnet50", "_aux", "_lean", "_detached", "auxdet_r18", "cascade_rpn_r18")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models() if not name.endswith(_HEAVY)])
def test_every_network_that_learns_has_a_head_that_is_the_smaller_part_and_makes_the_answer(name: str) -> None:
    model = create_model(name)
    if not model.learns:
        pytest.skip("a filter")
    learn_head_alone(model)
    learning = {each for each, parameter in model.named_parameters() if parameter.requires_grad}
    sizes = {each: parameter.numel() for each, parameter in model.named_parameters()}
    assert 0 < sum(sizes[each] for each in learning) < 0.65 * sum(sizes.values())
    side = model.input_spec.fixed_size_px or 64
    model.eval()
    pixels = torch.zeros(1, 1, side, side)
    with torch.no_grad():
        before = model(pixels, MetadataBatch.unknown((side, side)))
        for each, parameter in model.named_parameters():
            if each in learning:
                parameter.add_(0.5)
        after = model(pixels, MetadataBatch.unknown((side, side)))
    first, second = (out if isinstance(out, torch.Tensor) else out[0] for out in (before, after))
    assert first.shape != second.shape or not torch.equal(first, second)


class _Pixels(ClassificationModel):
    """Features are the crop's first pixels; three classes."""

    name, class_names = "pixels", ("drone", "bird", "airplane")
    input_spec = create_model("basic_cnn").input_spec

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, pixels_BCHW: torch.Tensor, metadata: MetadataBatch) -> torch.Tensor:
        return self.head(pixels_BCHW.flatten(1)[:, :3])  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def test_a_few_examples_of_a_class_make_it_known_and_leave_the_others() -> None:
    torch.manual_seed(1)
    model = _Pixels()
    other = model.head.weight[2].clone()
    examples = {index: torch.zeros(4, 1, 8, 8) for index in (0, 1)}
    for index, crops in examples.items():
        crops[:, 0, 0, index] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    imprint(model, examples)
    for index, crops in examples.items():
        logits = model(crops * 0.5, MetadataBatch.unknown((8, 8), 4))
        assert logits[:, :2].argmax(1).tolist() == [index] * 4
    assert torch.equal(model.head.weight[2], other)
    lengths = model.head.weight.detach().norm(dim=1)
    torch.testing.assert_close(lengths[0], lengths[1])


def test_a_network_without_a_head_is_refused_by_name() -> None:
    model = _Pixels()
    model.head_names = ("tail",)
    with pytest.raises(SettingsError, match="which has head"):
        learn_head_alone(model)


@pytest.mark.slow
@pytest.mark.usefixtures("made_data")
@pytest.mark.parametrize("mode", ["head", "prototypes"])
def test_the_command_changes_what_was_asked_for_and_no_more(mode: str, tmp_path: Path) -> None:
    options = ["--epochs", "0.02"] if mode == "head" else ["--shots", "3"]
    data = ("--data", "hit-uav", "--out", str(tmp_path / "run"))
    with pytest.raises(SystemExit) as ended:
        main(["train", "basic_cnn", "--start", "shipped", "--mode", mode, *options, *data])
    assert ended.value.code == 0
    before, after = load_file(WEIGHTS_FOLDER / "basic_cnn.safetensors"), load_file(tmp_path / "run" / "weights.safetensors")
    assert {name for name in before if not torch.equal(before[name].float(), after[name].float())} == {"head.weight", "head.bias"}
