"""Recipes by task and name: what a paper did, what the benchmark does, what we do.

Every registered network trains with the default of its task (`ours`); named ones are those of networks that ship, and of papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from contracts.choices import chosen
from contracts.errors import SettingsError
from contracts.text import counted
from models.interface import Task
from models.layers.texture import BLOCK_PX
from models.zoo import AnyModel
from training.augmentation.camera import Flaws
from training.augmentation.paste import PasteSettings
from training.augmentation.plan import Augmentation
from training.augmentation.points import PointSettings
from training.data.catalogue import CLASS_SETS
from training.data.samples import Role
from training.loop.identity import Identity, loop_identity, recipe_identity
from training.loop.settings import LoopSettings, require_number
from training.tasks.base import Recipe, TrainingTask
from training.tasks.classification import ClassificationRecipe
from training.tasks.detection import DetectionRecipe
from training.tasks.known import task_of
from training.tasks.phases import Phases
from training.tasks.segmentation import SegmentationRecipe

DEFAULT = "ours"
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
        validate_every_epochs: passes between two validations on held-out images; 0 never.
        minutes: of training in place of epochs, by the clock of the processor (on a CPU, per thread) or of the wall (beside a GPU);
            0: epochs count.
    """

    recipe: Recipe
    loop: LoopSettings
    epochs: float
    source: str
    validate_every_epochs: float = 0.0
    minutes: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a length that is none.

        Raises:
            SettingsError: epochs, or those between validations, are infinite, negative, or no number; there are no epochs; or
                validation is asked for where nothing is held out.
        """
        require_number("passes over the images", self.epochs, "above 0", self.epochs > 0)
        require_number("minutes of training", self.minutes, "not negative", self.minutes >= 0)
        require_number("epochs between validations", self.validate_every_epochs, "not negative", self.validate_every_epochs >= 0)
        if self.validate_every_epochs and Role.SELECT in self.recipe.roles:
            raise SettingsError(
                expected="a recipe that holds images out",
                got="one that learns from all training images",
                where="`validation`",
                action=f"Train without validation and early stop, or with the recipe {DEFAULT}.",
            )

    def with_epochs(self, epochs: float) -> TrainingPlan:
        """The same, shorter or longer; the schedule is stretched."""
        return replace(self, epochs=epochs)

    def with_sets(self, sets: Sequence[str]) -> TrainingPlan:
        """The same on other data, in equal shares."""
        return replace(self, recipe=self.recipe.with_sets(sets))

    def loop_for(self, epoch_size: int) -> LoopSettings:
        """The loop with its number of steps, or seconds.

        Args:
            epoch_size: crops that are one pass over the images.

        Raises:
            SettingsError: there would be no validation before the end.
        """
        if not self.recipe.trains:
            return replace(self.loop, max_steps=0, average_decay=0.0)
        epoch_steps = epoch_size / self.recipe.batch_size
        every_steps = max(1, round(self.validate_every_epochs * epoch_steps)) if self.validate_every_epochs else 0
        if self.minutes:
            return replace(self.loop, max_steps=None, budget_s=self.minutes * 60, validate_every_steps=every_steps)
        steps = max(1, math.ceil(self.epochs * epoch_steps))
        if self.validate_every_epochs >= self.epochs or every_steps >= steps:
            raise SettingsError(
                expected=f"fewer than the {counted(self.epochs, 'epoch')} of the training",
                got=f"{self.validate_every_epochs:g}",
                where="`epochs between validations`",
                action="Validate more often, or not at all.",
            )
        # A training of a few steps does not end with more batches than it learnt from.
        calibration_batches = min(self.loop.calibration_batches, steps)
        return replace(self.loop, max_steps=steps, validate_every_steps=every_steps, calibration_batches=calibration_batches)

    def identity(self, network: str, epoch_size: int) -> Identity:
        """Settings that make it this training and no other; its length does not."""
        named = {"network": network, "num_images": epoch_size}
        return named | dict(recipe_identity(self.recipe)) | dict(loop_identity(self.loop))

    def length(self) -> str:
        """Text: the length of the training."""
        return counted(self.minutes, "minute") if self.minutes else counted(self.epochs, "epoch")


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
    recipe = plan.recipe
    assert isinstance(recipe, SegmentationRecipe)
    augmentation = replace(
        recipe.augmentation,
        rotation_deg=30.0,
        scale=(0.8, 1.25),
        warp_probability=0.3,
        blur_probability=0.2,
        noise_probability=0.2,
        paste=replace(recipe.augmentation.paste, grey_correction=True, scene_constraint=True),
    )
    source = "ours, also turned, scaled, blurred and noisy; pasted by contrast and scene (docs/networks.md)"
    return replace(plan, recipe=replace(recipe, augmentation=augmentation), source=source)


def stranger() -> TrainingPlan:
    """For a light segmenter and cameras that nobody has images of: long, with the flaws of other cameras on half of the crops.

    Three sets in the proportions of their images, a quarter of others; flips keep masks where their set draws them. About 700,000 crops.
    """
    main = ("nudt-sirst", "irstd-1k", "sirst-v2")
    augmentation = Augmentation(
        crop_px=256,
        target_probability=0.5,
        jitter=False,
        paste=PasteSettings(same_set=True),
        points=PointSettings(),
        flaws=Flaws(),
        keep_offsets=True,
        shift_px=12,
    )
    return TrainingPlan(
        recipe=SegmentationRecipe(
            seed=19,
            augmentation=augmentation,
            shares=MappingProxyType(dict.fromkeys(main, 0.72 / len(main)) | {"synthetic": 0.18, "hit-uav": 0.06, "drone-ir": 0.04}),
            natural=main,
            phases=Phases(sides=((0.02, 0.5), (0.2, 0.75)), clean_from=0.9, hard_from=0.7),
        ),
        loop=LoopSettings(max_steps=1, max_lr=2e-3, schedule="warm_up_stable_decay", average_decay=0.999),
        epochs=225,
        source="ours for cameras never seen (docs/networks.md)",
    )


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
            threshold=_PUBLISHED_THRESHOLD,
        ),
        loop=replace(_AS_PUBLISHED, max_lr=5e-4, schedule="multi_step"),
        epochs=400,
        source="BasicIRSTD (Ying et al.): Adam 5e-4, a tenth at epochs 200 and 300 of 400, batch 16, crops of 256 px",
    )


def sgem_paper() -> TrainingPlan:
    """SGEM U-Net's paper, section 4.2: lr 1e-4, batch 8, crops of 256 px, 1500 epochs, SoftIoU; optimiser and augmentation not said."""
    return TrainingPlan(
        recipe=SegmentationRecipe(
            batch_size=8,
            loss="soft_iou_batch",
            augmentation=Augmentation(crop_px=256, target_probability=0.0, symmetries=False, jitter=False, paste=_NOTHING_PASTED),
            threshold=_PUBLISHED_THRESHOLD,
        ),
        loop=replace(_AS_PUBLISHED, max_lr=1e-4, schedule="constant"),
        epochs=1500,
        source="SGEM U-Net, section 4.2 (Adam assumed)",
    )


def _segmenter(source: str, max_lr: float, augmentation: Augmentation, batch_size: int = 8) -> TrainingPlan:
    recipe = SegmentationRecipe(batch_size=batch_size, augmentation=augmentation)
    return TrainingPlan(recipe=recipe, loop=LoopSettings(max_steps=1, max_lr=max_lr), epochs=100, source=source)


def acm() -> TrainingPlan:
    """ACM is cheap enough for wide crops, which its global gates want."""
    return _segmenter("that of ACM (docs/networks.md)", 3e-3, Augmentation())


def unet_light() -> TrainingPlan:
    """Ten times dearer a pixel than ACM, so smaller crops; half of them hold background only, where it raises false alarms."""
    return _segmenter("that of the light U-Net (docs/networks.md)", 2e-3, Augmentation(crop_px=96, target_probability=0.5), 12)


def compared() -> TrainingPlan:
    """One recipe for all networks of the papers, so that a table of theirs compares networks and not recipes."""
    return _segmenter("one for all networks that are compared (docs/networks.md)", 1e-3, Augmentation(crop_px=128))


def detection() -> TrainingPlan:
    """Boxes of all sets; small targets are never shrunk."""
    loop = LoopSettings(max_steps=1, max_lr=2e-3)
    return TrainingPlan(recipe=DetectionRecipe(seed=21), loop=loop, epochs=12, source="ours (docs/networks.md)")


def harrier() -> TrainingPlan:
    """For a light detector and any camera: crops at half to one and a half times their size, half of them with flaws of other cameras.

    All frames of the clips; sets of small targets in the proportions of their images. About 250,000 crops, 110 of each image of HIT-UAV.
    """
    small = ("nudt-sirst", "irstd-1k", "sirst-v2")
    shares = dict.fromkeys(small, 0.38 / len(small)) | {"hit-uav": 0.3, "drone-ir": 0.07, "drone-ir-clips": 0.15, "synthetic": 0.1}
    return TrainingPlan(
        recipe=DetectionRecipe(
            seed=23,
            crop_px=256,
            target_probability=0.7,
            shares=MappingProxyType(shares),
            natural=small,
            scale=(0.5, 1.5),
            enlarge=1.25,
            flaws=Flaws(resample=0.0),
            keep_offsets=True,
            clip_step=1,
        ),
        loop=LoopSettings(max_steps=1, max_lr=2e-3, schedule="warm_up_stable_decay", average_decay=0.999),
        epochs=36,
        source="ours for light detectors and cameras never seen (docs/networks.md)",
    )


def auxdet() -> TrainingPlan:
    """AuxDet's paper and released code, as far as they go without ImageNet's weights: SGD, a tenth after epochs 8 and 11 of 12.

    Long gradients are shortened, and batch norms learn: the backbone begins with random weights here. Crops are those of all detectors.
    """
    loop = replace(_AS_PUBLISHED, max_lr=5e-3, schedule="twelve_epochs", optimiser="sgd", weight_decay=1e-4, max_gradient_norm=35.0)
    return TrainingPlan(
        recipe=DetectionRecipe(batch_size=4, crop_px=256, seed=21),
        loop=loop,
        epochs=12,
        source="AuxDet (arXiv:2505.15184): SGD 0.005, a tenth after epochs 8 and 11 of 12, batch 4; from random weights",
    )


def classification() -> TrainingPlan:
    """Target crops, rare classes more often than they occur."""
    loop = LoopSettings(max_steps=1, max_lr=2e-3)
    return TrainingPlan(recipe=ClassificationRecipe(seed=22), loop=loop, epochs=12, source="ours (docs/networks.md)")


def aamsf_paper(schedule: str = "halved") -> TrainingPlan:
    """As the adaptive-attention classifier paper says (section 4): He init, dropout 0.5, batch 32, 1e-4, 100 epochs, seed 42.

    Mirrored, turned by up to 15 degrees, with Gaussian noise. Not said, and assumed: Adam (plain gradient descent, as its equations have
    it, would not learn at this rate), the strength of the noise. Otherwise than there: frames are normalised as everywhere here, not to
    [0, 1]. Any classifier trains with it, so that its tables compare networks.
    """
    recipe = ClassificationRecipe(
        batch_size=32,
        seed=42,
        unknown_share=0.0,
        named_sets=CLASS_SETS,
        unnamed_sets=(),
        unnamed_share=0.0,
        synthetic_share=0.0,
        balance=1.0,
        shift=0.0,
        scale=0.0,
        label_smoothing=0.0,
        rotation_deg=15.0,
        noise=0.1,
        cameras=False,
        turns=False,
        he_init=True,
        dropout=0.5,
    )
    loop = replace(_AS_PUBLISHED, max_lr=1e-4, schedule=schedule)
    source = f"the adaptive-attention classifier paper, section 4, learning rate {schedule} (Adam assumed)"
    return TrainingPlan(recipe=recipe, loop=loop, epochs=100, source=source)


def aamsf_paper_exponential() -> TrainingPlan:
    """The same with the paper's other reading: the rate falls at every step (section 3.2)."""
    return aamsf_paper("exponential")


TRAINING_PLANS: Mapping[Task, Mapping[str, Callable[[], TrainingPlan]]] = MappingProxyType(
    {
        Task.SEGMENTATION: MappingProxyType(
            {
                DEFAULT: ours,
                "robust": robust,
                "basicirstd": basicirstd,
                "sgem_paper": sgem_paper,
                "acm": acm,
                "unet_light": unet_light,
                "compared": compared,
                "stranger": stranger,
            }
        ),
        Task.DETECTION: MappingProxyType({DEFAULT: detection, "fcos_light": detection, "harrier": harrier, "auxdet": auxdet}),
        Task.CLASSIFICATION: MappingProxyType(
            {
                DEFAULT: classification,
                "basic_cnn": classification,
                "aamsf_paper": aamsf_paper,
                "aamsf_paper_exponential": aamsf_paper_exponential,
            }
        ),
    }
)
"""By task and name; a network that is registered trains with the one called `ours` of its task."""


def plan_named(name: str, sets: Sequence[str] = (), epochs: float | None = None, task: Task = Task.SEGMENTATION) -> TrainingPlan:
    """The plan of a name, on some data sets in equal shares, for some epochs.

    Raises:
        SettingsError: there is none of this name; the text lists those that exist.
    """
    plan = chosen(TRAINING_PLANS[task], name, f"recipe for {task}")()
    if sets:
        plan = plan.with_sets(sets)
    return plan if epochs is None else plan.with_epochs(epochs)


def default_task(model: AnyModel, sets: Sequence[str] = ()) -> TrainingTask:
    """The task of a network with its default recipe, on some data sets in equal shares; none given: on those of the recipe.

    Raises:
        SettingsError: the network has not the base of its task (`models/<task>/base.py`).
    """
    return task_of(model, plan_named(DEFAULT, sets, task=model.task).recipe)
