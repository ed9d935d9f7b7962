"""Recipes: every number of BasicIRSTD's code and of SGEM U-Net's paper, and how it takes effect."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.card import read_card
from models.interface import Task
from models.layers.texture import BLOCK_PX
from models.losses import loss_named
from models.weights import WEIGHTS_FOLDER
from models.zoo import create_model
from training.loop.optimisers import make_optimiser
from training.loop.schedules import schedule_named
from training.recipes import TRAINING_PLANS, TrainingPlan, plan_named
from training.tasks.known import task_of
from training.tasks.segmentation import SegmentationRecipe


def test_a_length_of_one_has_no_s() -> None:
    plan = plan_named("ours")
    lengths = [replace(plan, minutes=minutes, epochs=epochs).length() for minutes, epochs in ((0, 1), (0, 1.5), (1, 9), (20, 9))]
    assert lengths == ["1 epoch", "1.5 epochs", "1 minute", "20 minutes"]


@dataclass(frozen=True)
class Told:
    """What a source says.

    Attributes:
        rates: learning rate in some epochs, counted from 0.
        target_probability: share of crops that are made to hold a target.
        symmetries: flips and transposition.
        seed: None where the source has none.
    """

    epochs: int
    batch_size: int
    rates: dict[int, float]
    target_probability: float
    symmetries: bool
    seed: int | None


TOLD = {
    "basicirstd": Told(
        epochs=400,
        batch_size=16,
        rates={0: 5e-4, 199: 5e-4, 200: 5e-5, 299: 5e-5, 300: 5e-6, 399: 5e-6},
        target_probability=0.5,
        symmetries=True,
        seed=42,
    ),
    "sgem_paper": Told(
        epochs=1500, batch_size=8, rates={0: 1e-4, 750: 1e-4, 1499: 1e-4}, target_probability=0.0, symmetries=False, seed=None
    ),
}


@pytest.fixture(params=sorted(TOLD))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def plan(name: str) -> TrainingPlan:
    return plan_named(name, ("nudt-sirst",))


def recipe_of(plan: TrainingPlan) -> SegmentationRecipe:
    assert isinstance(plan.recipe, SegmentationRecipe)
    return plan.recipe


def test_epochs_and_batches(plan: TrainingPlan, name: str) -> None:
    assert plan.epochs == TOLD[name].epochs
    assert plan.recipe.batch_size == TOLD[name].batch_size
    assert plan.recipe.seed == TOLD[name].seed or TOLD[name].seed is None


def test_learning_rate_in_some_epochs(plan: TrainingPlan, name: str) -> None:
    factor = schedule_named(plan.loop.schedule)
    for epoch, rate in TOLD[name].rates.items():
        assert plan.loop.max_lr * factor(epoch / TOLD[name].epochs) == pytest.approx(rate, rel=1e-12)


def test_adam_without_weight_decay_on_anything(plan: TrainingPlan) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimiser = make_optimiser(plan.loop.optimiser, model, plan.loop.max_lr, plan.loop.weight_decay)
    assert type(optimiser) is torch.optim.Adam
    for group in optimiser.param_groups:
        assert group["weight_decay"] == 0
        assert group["betas"] == (0.9, 0.999)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 4


def test_the_last_weights_count_unaveraged_and_unchosen(plan: TrainingPlan) -> None:
    assert plan.loop.average_decay == 0
    assert plan.loop.validate_every_steps == 0
    assert plan.loop.patience == 0
    assert math.isinf(plan.loop.budget_s)
    assert plan.loop.precision == "float32"
    assert math.isinf(plan.loop.max_gradient_norm)


def test_crops(plan: TrainingPlan, name: str) -> None:
    augmentation = recipe_of(plan).augmentation
    assert augmentation.crop_px == 256
    assert augmentation.target_probability == TOLD[name].target_probability
    assert augmentation.symmetries is TOLD[name].symmetries
    assert not augmentation.jitter
    assert augmentation.paste.probability == 0
    assert augmentation.warp_probability == 0
    assert augmentation.blur_probability == 0


def test_loss_is_soft_iou_of_the_whole_batch(plan: TrainingPlan) -> None:
    """`1 - (sum PY + 1) / (sum P + sum Y - sum PY + 1)`, sums over all pixels of the batch."""
    logits, targets = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    targets[0, 0, 0, 0] = 1
    targets[1, 0] = 1
    # Eight pixels at one half, five targets: I = 2.5, P = 4, Y = 5.
    assert float(loss(plan, logits, targets)) == pytest.approx(1 - 3.5 / 7.5)


def loss(plan: TrainingPlan, logits: Tensor, targets: Tensor) -> Tensor:
    return loss_named(recipe_of(plan).loss)(logits, targets)


def test_robust_is_ours_with_every_augmentation() -> None:
    plan, plain = plan_named("robust"), plan_named("ours")
    augmentation = recipe_of(plan).augmentation
    for share in (augmentation.warp_probability, augmentation.blur_probability, augmentation.noise_probability):
        assert 0 < share < 1
    assert augmentation.rotation_deg > 0
    assert augmentation.scale[0] < 1 < augmentation.scale[1]
    assert augmentation.paste.grey_correction
    assert augmentation.paste.scene_constraint
    assert (plan.loop, plan.epochs, recipe_of(plan).loss) == (plain.loop, plain.epochs, recipe_of(plain).loss)


@pytest.mark.parametrize("name", ["ours", "robust"])
def test_our_crops_start_on_the_blocks_whose_texture_is_told(name: str) -> None:
    assert recipe_of(plan_named(name)).augmentation.grid_px == BLOCK_PX == 8


def test_the_classifier_paper_trains_as_its_section_4_says() -> None:
    halved, falling = (plan_named(name, task=Task.CLASSIFICATION) for name in ("aamsf_paper", "aamsf_paper_exponential"))
    assert (halved.epochs, halved.loop.max_lr, halved.recipe.batch_size, halved.recipe.seed) == (100, 1e-4, 32, 42)
    assert (halved.loop.schedule, falling.loop.schedule) == ("halved", "exponential")
    assert replace(falling, loop=halved.loop, source=halved.source) == halved
    assert (halved.loop.average_decay, halved.loop.weight_decay) == (0, 0)
    model = create_model("wren")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = task_of(model, halved.recipe)
    task.prepare(model, from_random=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()), "weights that were learnt stay"
    assert {layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)} == {0.5}
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.3)
    task.prepare(model, from_random=True)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() > 4000:
            inputs = layer.weight[0].numel()
            assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / inputs), rel=0.05)
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_a_default_recipe(task: Task) -> None:
    plan = plan_named("ours", task=task)
    assert plan.recipe.sets
    assert plan.loop_for(1000).max_steps == math.ceil(plan.epochs * 1000 / plan.recipe.batch_size)
    assert plan.recipe.with_sets(["mine"]).sets == ("mine",)
    assert set(TRAINING_PLANS[task]) >= {"ours"}


@pytest.mark.parametrize("path", sorted(WEIGHTS_FOLDER.rglob("*.json")), ids=lambda path: path.stem)
def test_the_command_of_a_card_says_how_long(path: Path) -> None:
    command = str(read_card(path).recipe["command"])
    learns = create_model(path.stem).learns
    assert not learns or command.startswith("irstream models average ") or "--minutes " in command or "--epochs " in command
    assert learns or command.startswith(f"irstream models export {path.stem} "), "a filter has only its threshold chosen"
