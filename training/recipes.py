"""Recipes of segmenters by name: what a paper did, what the benchmark does, what we do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from contracts.choices import chosen
from contracts.errors import SettingsError
from models.layers.texture import BLOCK_PX
from training.augmentation.paste import PasteSettings
from training.augmentation.plan import Augmentation
from training.loop.identity import Identity, loop_identity, recipe_identity
from training.loop.settings import LoopSettings, require_number
from training.tasks.segmentation import SegmentationRecipe

_NOTHING_PASTED = PasteSettings(probability=0.0)
_PUBLISHED_THRESHOLD = 0.5
# What the sources do not name they do not do: no decay, no shortened gradients, no averaged weights.
_AS_PUBLISHED = LoopSettings(max_steps=1, optimiser="adam", weight_decay=0.0, max_gradient_norm=math.inf, average_decay=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """A whole training.

    Attributes:
        recipe: crops and loss.
        loop: how long and how fast; its `max_steps` is counted from `epochs` when the images are known.
        epochs: passes over the training images.
        source: where it is from.
        judge_epochs: passes between two judgements on held-out images; 0 never.
        threshold: fixed, and nothing is held out: all training and validation images teach. None: held-out images choose it.
    """

    recipe: SegmentationRecipe
    loop: LoopSettings
    epochs: float
    source: str
    judge_epochs: float = 0.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse a length that is none.

        Raises:
            SettingsError: epochs, or those between judgements, are infinite, negative, or no number; there are no epochs; or a
                judge is asked for where nothing is held out.
        """
        require_number("passes over the images (--epochs)", self.epochs, "above 0", self.epochs > 0)
        require_number("epochs between judgements (--judge-every)", self.judge_epochs, "not negative", self.judge_epochs >= 0)
        if self.judge_epochs and self.threshold is not None:
            raise SettingsError(
                expected="a recipe that holds images out",
                got="one that learns from all training images",
                where="judge (--early-stop, --judge-every)",
                action="Train without these options, or with --recipe ours.",
            )

    def with_epochs(self, epochs: float) -> TrainingPlan:
        """The same, shorter or longer; the schedule is stretched."""
        return replace(self, epochs=epochs)

    def with_sets(self, shares: Mapping[str, float]) -> TrainingPlan:
        """The same on other data."""
        return replace(self, recipe=replace(self.recipe, shares=MappingProxyType(dict(shares))))

    def loop_for(self, num_images: int) -> LoopSettings:
        """The loop with its number of steps.

        Raises:
            SettingsError: the judge would not be asked before the end.
        """
        epoch_steps = num_images / self.recipe.batch_size
        steps = max(1, math.ceil(self.epochs * epoch_steps))
        judge_steps = max(1, round(self.judge_epochs * epoch_steps)) if self.judge_epochs else 0
        if self.judge_epochs >= self.epochs or judge_steps >= steps:
            raise SettingsError(
                expected=f"fewer than the {self.epochs:g} epochs of the training",
                got=f"{self.judge_epochs:g}",
                where="epochs between judgements (--judge-every)",
                action="Ask the judge more often, or not at all.",
            )
        return replace(self.loop, max_steps=steps, judge_steps=judge_steps)

    def identity(self, network: str, num_images: int) -> Identity:
        """What makes it this training and no other; how long it is does not."""
        named = {"command": "irstream train", "network": network, "num_images": num_images}
        return named | dict(recipe_identity(self.recipe)) | dict(loop_identity(self.loop))


def ours() -> TrainingPlan:
    """Copy-paste, averaged weights, one cycle: what the networks that ship are trained with."""
    return TrainingPlan(
        recipe=SegmentationRecipe(augmentation=Augmentation(crop_px=160, grid_px=BLOCK_PX, paste=PasteSettings(same_set=True))),
        loop=LoopSettings(max_steps=1, max_lr=2e-3),
        epochs=100,
        source="ours (docs/networks.md)",
    )


def robust() -> TrainingPlan:
    """`ours` with every augmentation there is, for cameras that the training images do not know."""
    plan = ours()
    augmentation = replace(
        plan.recipe.augmentation,
        rotation_deg=30.0,
        scale=(0.8, 1.25),
        warp_probability=0.3,
        blur_probability=0.2,
        noise_probability=0.2,
        paste=replace(plan.recipe.augmentation.paste, grey_correction=True, scene_constraint=True),
    )
    source = "ours, also turned, scaled, blurred and noisy; pasted by contrast and scene (docs/networks.md)"
    return replace(plan, recipe=replace(plan.recipe, augmentation=augmentation), source=source)


def basicirstd() -> TrainingPlan:
    """The benchmark's recipe for all its networks: half of the crops hold a target, flips and transposition, SoftIoU.

    Frames are normalised by their own mean and deviation, as everywhere here; the benchmark takes those of the whole data set.
    """
    return TrainingPlan(
        recipe=SegmentationRecipe(
            batch_size=16,
            loss="soft_iou_batch",
            augmentation=Augmentation(crop_px=256, target_probability=0.5, jitter=False, paste=_NOTHING_PASTED),
            seed=42,
        ),
        loop=replace(_AS_PUBLISHED, max_lr=5e-4, schedule="multi_step"),
        epochs=400,
        threshold=_PUBLISHED_THRESHOLD,
        source="BasicIRSTD (Ying et al.): Adam 5e-4, a tenth at epochs 200 and 300 of 400, batch 16, crops of 256 px",
    )


def sgem_paper() -> TrainingPlan:
    """SGEM U-Net's paper, section 4.2: lr 1e-4, batch 8, crops of 256 px, 1500 epochs, SoftIoU; optimiser and augmentation not said."""
    return TrainingPlan(
        recipe=SegmentationRecipe(
            batch_size=8,
            loss="soft_iou_batch",
            augmentation=Augmentation(crop_px=256, target_probability=0.0, symmetries=False, jitter=False, paste=_NOTHING_PASTED),
        ),
        loop=replace(_AS_PUBLISHED, max_lr=1e-4, schedule="constant"),
        epochs=1500,
        threshold=_PUBLISHED_THRESHOLD,
        source="SGEM U-Net, section 4.2 (Adam assumed)",
    )


TRAINING_PLANS: Mapping[str, Callable[[], TrainingPlan]] = MappingProxyType(
    {"ours": ours, "robust": robust, "basicirstd": basicirstd, "sgem_paper": sgem_paper}
)


def plan_named(name: str, sets: Sequence[str] = (), epochs: float | None = None) -> TrainingPlan:
    """The plan of a name, on some data sets in equal shares, for some epochs.

    Raises:
        SettingsError: there is none of this name; the text lists those that exist.
    """
    plan = chosen(TRAINING_PLANS, name, "recipe")()
    if sets:
        plan = plan.with_sets(dict.fromkeys(sets, 1.0))
    return plan if epochs is None else plan.with_epochs(epochs)
