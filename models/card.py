"""The model card: everything a person or a program must know about a set of weights before using it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from contracts.errors import SettingsError

FIGURE_DIGITS = 4
NOTHING = "nothing"
"""Data of a filter, which learns none."""
"""Decimal places of the figures in cards."""

_SPLIT = re.compile(
    r" (?:(?:train|val|select|test)(?: and (?:val|test))*|unseen(?: scenes)?|held-out (?:scenes|train clips)|val clips|out of fold)?"
    r" \(\d+ images\)$"
)
"""Split and number of images at the end of `Measurement.data`."""


_OF_FOLDS = re.compile(r", folds [0-9a-f]{12}\)$")


class Measurement(BaseModel):
    """Figures measured with one command on one set of images.

    Attributes:
        data: data set and split, such as `nudt-sirst test (506 images)`.
        command: how to measure it again.
        values: name to figure; rates are fractions in [0, 1], `fa_ppm` false-alarm pixels per million pixels, `iou_bfloat16` the IoU
            where the network computes in bfloat16 (absent where the measuring machine is not faster with it), `iou_beside_bfloat16`
            the one in float32 of that measurement, where `iou` is newer.
        confusion: for classifiers, rows are truth, columns are predictions, in the order of the card's classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    command: str
    values: dict[str, float]
    confusion: list[list[int]] | None = None

    @property
    def dataset(self) -> str:
        """Name of the data set, or folder, which may have blanks: `data` without its split and number of images."""
        return _SPLIT.sub("", self.data)

    @property
    def bfloat16_pair(self) -> tuple[float, float] | None:
        """IoU in float32 and in bfloat16, measured side by side; None where nobody did."""
        if "iou_bfloat16" not in self.values:
            return None
        return self.values.get("iou_beside_bfloat16", self.values["iou"]), self.values["iou_bfloat16"]

    def replacing(self, before: Measurement) -> Measurement:
        """These figures in the place of older ones of the same images; how to measure them again stays.

        A machine that is no faster with bfloat16 does not measure it: the older pair stays then, which says how far it moves the IoU.
        """
        values = dict(self.values)
        if before.bfloat16_pair is not None and self.bfloat16_pair is None:
            values["iou_beside_bfloat16"], values["iou_bfloat16"] = before.bfloat16_pair
        return self.model_copy(update={"command": before.command, "values": values})


class ModelCard(BaseModel):
    """One set of weights of one registered network.

    Attributes:
        name: registered name.
        task: `detection`, `segmentation` or `classification`.
        paper: where the network is from.
        parameters: all of them, also those that do not learn.
        gmacs: multiply-adds (1e9) for one input of `input_px` squared, by torch's flop counter.
        classes: labels in column order; `target` alone for networks that know only targets.
        data: what it was trained on.
        data_licence: what the licences of that data say.
        recipe: how it was trained: the command, and what it does not say.
        postprocess: thresholds, chosen on validation images only.
        measured: figures on test images.
        preprocess_version: `models.transforms.PREPROCESS_VERSION` it was trained with.
        digest: sha256 of the safetensors file.
        members: networks of which the mean of the logits is the answer; parameters and multiply-adds are those of all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    task: str
    paper: str
    parameters: int = Field(ge=0)
    gmacs: float = Field(ge=0)
    input_px: int = Field(gt=0)
    classes: tuple[str, ...] = ("target",)
    data: str
    data_licence: str
    recipe: dict[str, JsonValue]
    postprocess: dict[str, float]
    measured: tuple[Measurement, ...] = ()
    preprocess_version: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    members: int = Field(1, ge=1, exclude_if=lambda members: members == 1)

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """Names of the data sets whose training splits it was trained on; empty where nothing was learnt."""
        return tuple(name for name in self.data.rpartition(" (")[0].split(", ") if name not in ("", NOTHING))

    @property
    def knows_tests(self) -> bool:
        """True where it may have learnt from images of test splits, too: folds are made of all images but those of `unseen`."""
        return bool(_OF_FOLDS.search(self.data))

    @property
    def bfloat16_iou_change(self) -> float | None:
        """By how much bfloat16 moves IoU, at most, on any measured set of images; None where one was not measured so."""
        changes = [abs(pair[1] - pair[0]) for each in self.measured if (pair := each.bfloat16_pair) is not None]
        return round(max(changes), FIGURE_DIGITS) if changes and len(changes) == len(self.measured) else None


def weights_file(named: str | Path) -> Path:
    """The file with weights that a path means: of a folder, `weights.safetensors` in it."""
    path = Path(named)
    return path / "weights.safetensors" if path.is_dir() else path


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card as readable JSON."""
    path.write_text(json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def train_command(name: str) -> str:
    """The command that trains a registered network."""
    return f"irstream train {name}"


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        SettingsError: no such file, or not a card.
    """
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise _unusable(path, "no such file") from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error


def _unusable(path: Path, got: str) -> SettingsError:
    return SettingsError(
        expected="a model card (JSON) beside the weights",
        got=got,
        where=f"model card {path}",
        action="Train the network (irstream train) or name weights that have a card.",
    )
