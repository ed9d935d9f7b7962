"""The `Task` protocol, by which a task is trained, measured and drawn; nothing else in `training/` knows one task from another."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from torch import Tensor, nn

from contracts.errors import SettingsError
from evaluation.drawing import Picture
from models.card import Measurement
from models.layers.initialisation import he_normal
from models.zoo import AnyModel
from training.data.batches import Batch, BatchSource, SeededBatches
from training.data.catalogue import KNOWN_SETS, UNSEEN_SETS
from training.data.samples import CLIP_STEP_FRAMES, Role, Sample, read_samples
from training.tasks.answers import Answerer, Outcomes
from training.tasks.measuring import Report, no_report
from training.tasks.teachers import Teacher

_R = TypeVar("_R", bound="Recipe")
_BYTES_A_PIXEL = 8
Validator = Callable[[nn.Module], float]
"""Score of a network on held-out images; more is better, NaN where they cannot say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(ABC):
    """Recipe of the crops of a training.

    Attributes:
        batch_size: crops a step.
        unknown_share: share of the crops whose platform is given as `unknown`, and whose band is: networks that use them must not
            depend on them, because a stream may not know either.
        seed: of the first weights and of all chance in the data.
        he_init: a training from random weights begins with those of He et al. (`models.layers.initialisation`), not the network's own.
        dropout: probability in every dropout of the network; None: its own.
        teachers: networks that it learns from beside the truth.
        teacher_share: of them in the loss.
        clip_step: of clips every so many frames teach; 1: all of them.
    """

    batch_size: int = 8
    unknown_share: float = 0.3
    seed: int = 20
    he_init: bool = False
    dropout: float | None = None
    teachers: tuple[Teacher, ...] = ()
    teacher_share: float = 0.5
    clip_step: int = CLIP_STEP_FRAMES

    def __post_init__(self) -> None:
        """Refuse a share that is none.

        Raises:
            SettingsError: it is below 0, above 1, or no number.
        """
        for where, share in (("share of unknown metadata", self.unknown_share), ("share of the teachers", self.teacher_share)):
            if not 0 <= share <= 1:
                raise SettingsError(expected="a number from 0 to 1", got=f"{share:g}", where=f"`{where}`", action="Correct it.")

    @property
    @abstractmethod
    def sets(self) -> tuple[str, ...]:
        """Data sets that are learnt from."""

    @abstractmethod
    def with_sets(self, sets: Sequence[str]) -> Self:
        """The same on other data sets, in equal shares."""

    @property
    def chosen_sets(self) -> tuple[str, ...]:
        """Data sets that a command has to name: none where they are those that it takes by itself."""
        return () if self.sets == type(self)().sets else self.sets

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles of the images that are learnt from; those of role `select` are held out unless it is here."""
        return (Role.TRAIN,)

    def with_loss(self, name: str) -> Self:
        """The same with another loss.

        Raises:
            SettingsError: there is none of this name, or the task has no choice of losses.
        """
        raise _no_choice("loss", name)

    def with_crop(self, crop_px: int) -> Self:
        """The same with crops of another side.

        Raises:
            SettingsError: the network decides it.
        """
        raise _no_choice("side of the crops", f"{crop_px} px")

    def with_teachers(self, teachers: Sequence[Teacher], share: float | None = None) -> Self:
        """The same with teachers, and their share in the loss; None keeps it.

        Raises:
            SettingsError: networks of this task cannot learn from others, or the share is none.
        """
        if teachers:
            raise _no_choice("teacher", ", ".join(teacher.path for teacher in teachers))
        return self

    def with_prototypes(self, shots: int) -> Self:
        """The same for networks whose last layer takes the mean features of each class from so many images; nothing is trained.

        Raises:
            SettingsError: networks of this task have no classes to do so with.
        """
        raise _no_choice("mode", "prototypes")

    @property
    def trains(self) -> bool:
        """False where nothing is trained: what `TrainingTask.prepare` does is all."""
        return True

    def with_numbers(self, batch_size: int | None = None, seed: int | None = None, unknown_share: float | None = None) -> Self:
        """The same with other numbers; None keeps one."""
        return replace(
            self,
            batch_size=self.batch_size if batch_size is None else batch_size,
            seed=self.seed if seed is None else seed,
            unknown_share=self.unknown_share if unknown_share is None else unknown_share,
        )


def taught_by(recipe: _R, teachers: Sequence[Teacher], share: float | None) -> _R:
    """A recipe with teachers, see `Recipe.with_teachers`."""
    return replace(recipe, teachers=tuple(teachers), teacher_share=recipe.teacher_share if share is None else share)


def _no_choice(what: str, got: str) -> SettingsError:
    return SettingsError(
        expected="nothing: networks of this task have no choice of it", got=got, where=f"`{what}`", action="Leave it out for this network."
    )


class TrainingTask(ABC):
    """Batches, loss, validation, measurement and pictures of the networks of one task.

    Attributes:
        recipe: how crops are drawn.
    """

    recipe: Recipe

    @property
    def records_passes(self) -> bool:
        """True where passes can be recorded as a CUDA graph: the loss asks the GPU for no value, and batches have one shape."""
        return True

    @cached_property
    def samples(self) -> list[Sample]:
        """The images to learn from.

        Raises:
            SettingsError: a data set is not there, has no image to learn from, or is one that no training may see.
        """
        if unseen := [name for name in self.recipe.sets if name in UNSEEN_SETS]:
            raise SettingsError(
                expected="data sets that may be learnt from",
                got=f"{', '.join(unseen)}: no training may see it, so that its figures are those of a camera no network knows",
                where="`data sets to learn from`",
                action="Leave it out, and measure the trained network on it (irstream models measure).",
            )
        samples = [sample for role in self.recipe.roles for sample in read_samples(self.recipe.sets, role, clip_step=self.recipe.clip_step)]
        there = {sample.dataset for sample in samples}
        missing = [name for name in self.recipe.sets if name not in there]
        if missing:
            raise SettingsError(
                expected="training images in every data set",
                got=f"none in {', '.join(missing)}",
                where="`data sets to learn from`",
                action="Leave it out, or give images of its index.jsonl the split `train`.",
            )
        return samples

    @property
    def epoch_size(self) -> int:
        """Number of crops in one pass over the data: as many as there are images."""
        return len(self.samples)

    @abstractmethod
    def source(self, steps: int | None = None) -> BatchSource:
        """The batches to learn from.

        Args:
            steps: of the whole training, for crops that change during it; None: not counted.

        Raises:
            SettingsError: the images hold nothing to learn from, or crops change and steps are not counted.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of a batch that is on the device of the network, a scalar with gradient."""

    def prepare(self, model: nn.Module, *, from_random: bool) -> None:
        """Make a network as the recipe wants it, in place, before it learns; a checkpoint may then take its place.

        Args:
            model: the network.
            from_random: its weights are random.
        """
        if self.recipe.he_init and from_random:
            he_normal(model)
        if self.recipe.dropout is not None:
            for layer in model.modules():
                if isinstance(layer, nn.Dropout):
                    layer.p = self.recipe.dropout

    def look_at_held_out(self) -> None:
        """Read what chooses and measures at the end of hours, of data sets of one's own, before they begin.

        Raises:
            SettingsError: an image or mask cannot be read, or they do not fit each other.
        """
        own = [name for name in self.recipe.sets if name not in KNOWN_SETS]
        for role in (Role.SELECT, Role.TEST):
            for sample in read_samples(own, role):
                self.look_at(sample)

    def look_at(self, sample: Sample) -> None:
        """Read all of an image that measuring needs.

        Raises:
            SettingsError: it cannot be read.
        """
        _ = sample.pixels_HW

    def bytes_of(self, width_px: int, height_px: int, bit_depth: int) -> int:
        """Memory of a decoded image with all that is kept of it, about."""
        return _BYTES_A_PIXEL * width_px * height_px

    @property
    def counts_batches(self) -> bool:
        """True where a batch depends on the share of the training that is done."""
        return False

    @property
    @abstractmethod
    def headline(self) -> str:
        """Name of the figure by which networks of this task are compared; higher is better."""

    @abstractmethod
    def source_of(self, samples: Sequence[Sample], seed: int, steps: int | None = None) -> SeededBatches:
        """The batches of some images.

        Args:
            samples: images to learn from.
            seed: of chance.
            steps: of the whole training, see `source`.

        Raises:
            SettingsError: the images hold nothing to learn from.
        """

    def can_teach(self, samples: Sequence[Sample]) -> bool:
        """True where some images by themselves hold targets to learn from."""
        return any(label != "ignore" for sample in samples for label in sample.labels)

    def crops_in(self, labels: Sequence[str]) -> int:
        """Number of crops that are one pass over an image with some labels."""
        return 1

    @abstractmethod
    def quality(self, model: nn.Module, samples: Iterable[Sample]) -> float:
        """Score of a network on images that are seen one by one; more is better, NaN where they cannot say."""

    @abstractmethod
    def chosen_on(self, model: AnyModel, samples: Iterable[Sample], *, device: str = "cpu") -> dict[str, float]:
        """Postprocessing values of a network, thresholds chosen on images that are seen one by one."""

    @abstractmethod
    def answers(self, model: AnyModel, *, device: str = "cpu") -> Answerer:
        """Function that answers on single images as the network is configured."""

    @abstractmethod
    def figures(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Figures of many answers together.

        Args:
            model: configured, for its threshold and classes.
            rows: with truth and answer, see `training.distributed.predictions`.
        """

    @abstractmethod
    def image_score(self, figures: Mapping[str, float]) -> float:
        """Score of the answer on one image in [0, 1], more is better; NaN where the image says nothing.

        Args:
            figures: of the answer (`Answer.figures`).
        """

    @abstractmethod
    def outcomes(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> Outcomes:
        """Right and wrong answers of many images together.

        Args:
            model: for its classes.
            rows: with truth and answer, see `training.distributed.predictions`.
        """

    @abstractmethod
    def validator(self) -> Validator:
        """Score of a network on the held-out images.

        Raises:
            SettingsError: they hold no target.
        """

    @abstractmethod
    def choose(self, model: AnyModel, *, device: str = "cpu", report: Report = no_report) -> dict[str, float]:
        """Postprocessing values of a network, thresholds chosen on held-out images; where there are none, those it has."""

    @abstractmethod
    def measure(
        self, model: AnyModel, role: Role = Role.TEST, weights: Path | None = None, *, device: str = "cpu", report: Report = no_report
    ) -> list[Measurement]:
        """Figures of a network at its thresholds on the images of a role.

        Args:
            model: configured.
            role: of the images.
            weights: named in the command that measures again; None: those that ship.
            device: where to compute.
            report: gets the number of images done, and of all.
        """

    def measured_by(self, name: str, weights: Path | None, dataset: str) -> str:
        """Command that measures a network again on the data sets of the recipe.

        Args:
            name: of the network.
            weights: None: those that ship.
            dataset: of the figures; the command may measure others as well.
        """
        return measure_command(name, weights, self.recipe.chosen_sets)

    @abstractmethod
    def picture(self, model: AnyModel) -> Picture:
        """Answers of a network on test images whose licence allows showing them, drawn beside the truth.

        Raises:
            SettingsError: they are not there.
        """


def wrong_base(model: AnyModel, base: type[Any]) -> SettingsError:
    """Error: a network of a task that has not the base class of that task."""
    return SettingsError(
        expected=f"a {base.__name__} ({base.__module__})",
        got=type(model).__name__,
        where=f"network {model.name}, task {model.task}",
        action=f"Derive its class from {base.__name__}, or give it the task that it is of.",
    )


def measure_command(name: str, weights: Path | None, sets: Sequence[str]) -> str:
    """Command that measures weights again.

    Args:
        name: of the network.
        weights: None: those that ship.
        sets: data sets to measure on; none: those of the default recipe.
    """
    command = f"irstream models measure {name} --weights {shlex.quote(str(weights))}" if weights else f"irstream models measure {name}"
    return command + with_data(sets)


def with_data(sets: Sequence[str]) -> str:
    """End of a command that names data sets."""
    return "".join(f" --data {shlex.quote(each)}" for each in sets)
