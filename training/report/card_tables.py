"""The tables of cards in docs/ and benchmarks/, from the cards of the weights that ship and from docs/segmenters.json.

`irstream models tables docs/networks.md docs/datasets.md benchmarks/2026-11-*.md` writes them anew.
A table stands between `<!-- cards: NAME -->` and `<!-- end -->`; whatever is between them is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from contracts.choices import chosen
from models.card import ModelCard, read_card
from models.weights import WEIGHTS_FOLDER
from training.report.comparison import LONG, equal_rows, other_rows, printed_rows, read_rows, scores_text

SEGMENTERS, DETECTORS, CLASSIFIER = (
    ("kestrel_wide", "kestrel_adaptive", "kestrel", "kestrel_fine", "acm", "unet_light", "top_hat"),
    ("harrier", "fcos_light"),
    "basic_cnn",
)
_SECTION = re.compile(r"(?<=<!-- cards: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def fill_tables(text: str) -> str:
    """Replace every table of cards in a page.

    Raises:
        SettingsError: the page asks for a table that there is not.
    """

    def table(found: re.Match[str]) -> str:
        rows = chosen(TABLES, found[1], "a mark `<!-- cards: NAME -->`", "Name one of these tables in the page.")()
        return found[1] + found[2] + "".join(f"| {' | '.join(row)} |\n" for row in rows)

    return _SECTION.sub(table, text)


def overview_rows() -> Iterator[Sequence[str]]:
    """One row for each network that ships: its task, its source and its cost."""
    yield from _head("network", "task", "from", "parameters", "GMACs")
    for card in map(_card, (*SEGMENTERS, *DETECTORS, CLASSIFIER)):
        yield f"`{card.name}`", card.task, card.paper, f"{card.parameters:,}", f"{card.gmacs:.3f} at {card.input_px}²"


def segmentation_rows() -> Iterator[Sequence[str]]:
    """One row for each segmenter, one column for each set of test images; blank where the network was not measured on it."""
    cards = [_card(name) for name in SEGMENTERS]
    sets = list(dict.fromkeys(measured.data for card in cards for measured in card.measured))
    yield from _head("network", "threshold", *sets)
    for card in cards:
        scores = {measured.data: scores_text(measured.values) for measured in card.measured}
        yield f"`{card.name}`", f"{card.postprocess['threshold']:g}", *(scores.get(name, "") for name in sets)


def bfloat16_rows() -> Iterator[Sequence[str]]:
    """IoU of each segmenter in float32 and in bfloat16, on each set of test images."""
    yield from _head("network", "data", "IoU in float32", "in bfloat16", "points")
    for card in map(_card, SEGMENTERS):
        for measured in card.measured:
            if measured.bfloat16_pair is not None:
                plain, half = (iou * 100 for iou in measured.bfloat16_pair)
                yield f"`{card.name}`", measured.data, f"{plain:.2f}", f"{half:.2f}", f"{half - plain:+.2f}"


def detection_rows() -> Iterator[Sequence[str]]:
    """One row for each set of test images, the same columns for each detector."""
    cards = [_card(name) for name in DETECTORS]
    heads = ("AP50", "recall", "precision", "false per image")
    yield from _head("data", *(f"`{card.name}`: {heads[0]}" if head == heads[0] else head for card in cards for head in heads))
    for first in cards[0].measured:
        values = [each.values for card in cards for each in card.measured if each.data == first.data]
        yield first.data, *(text for value in values for text in _detected(value))


def _detected(values: Mapping[str, float]) -> Iterator[str]:
    """Average precision, and what comes of the threshold of the card."""
    yield from (f"{values[name]:.3f}" for name in ("ap50", "recall_at", "precision_at"))
    yield f"{values['false_per_image']:.2f}"


def classification_rows() -> Iterator[Sequence[str]]:
    """One row for each set of test images whose classes are known."""
    yield from _head("data", "accuracy", "macro-F1")
    for measured in _card(CLASSIFIER).measured:
        if "accuracy" in measured.values:
            yield measured.data, f"{measured.values['accuracy']:.3f}", f"{measured.values['macro_f1']:.3f}"


def unnamed_rows() -> Iterator[Sequence[str]]:
    """One row for each set of targets of no class."""
    yield from _head("data", "targets", "left without a class")
    for measured in _card(CLASSIFIER).measured:
        if "left_unnamed" in measured.values:
            yield measured.data, f"{measured.values['targets']:.0f}", f"{measured.values['left_unnamed']:.2f}"


def confusion_rows() -> Iterator[Sequence[str]]:
    """The confusion matrix over the most data sets of real images; rows are truth."""
    card = _card(CLASSIFIER)
    (counts,) = (measured.confusion for measured in card.measured if "+" in measured.data and measured.confusion)
    yield from _head("", *card.classes)
    for name, row in zip(card.classes, counts, strict=True):
        yield f"**{name}**", *map(str, row)


def training_rows() -> Iterator[Sequence[str]]:
    """One row for each network that ships and has learnt: its training images, steps and minutes."""
    yield from _head("network", "learnt from", "steps", "minutes")
    for card in map(_card, (*SEGMENTERS, *DETECTORS, CLASSIFIER)):
        if card.learnt_from:
            yield f"`{card.name}`", ", ".join(card.learnt_from), f"{card.recipe['steps']:,}", _minutes(card)


def comparison_rows() -> Iterator[Sequence[str]]:
    """Segmenters that were trained alike, all of them and not for long."""
    yield from _headed(equal_rows(read_rows()))


def long_comparison_rows() -> Iterator[Sequence[str]]:
    """The best of them, trained alike for longer."""
    yield from _headed(equal_rows(read_rows(), LONG))


def other_training_rows() -> Iterator[Sequence[str]]:
    """Segmenters that were trained otherwise, such as by the recipes of papers."""
    yield from _headed(other_rows(read_rows()))


def published_rows() -> Iterator[Sequence[str]]:
    """Figures that others printed for the networks of the comparison."""
    yield from _headed(printed_rows(read_rows()))


def _headed(rows: Iterator[Sequence[str]]) -> Iterator[Sequence[str]]:
    yield from _head(*next(rows))
    yield from rows


def _minutes(card: ModelCard) -> str:
    clocks = {"minutes": "GPU", "processor_minutes": "processor"}
    return ", ".join(f"{card.recipe[clock]:.0f} ({what})" for clock, what in clocks.items() if clock in card.recipe)


def _card(name: str) -> ModelCard:
    return read_card(WEIGHTS_FOLDER / f"{name}.json")


def _head(*names: str) -> tuple[Sequence[str], Sequence[str]]:
    return names, ("---",) * len(names)


TABLES: dict[str, Callable[[], Iterator[Sequence[str]]]] = {
    "overview": overview_rows,
    "segmentation": segmentation_rows,
    "bfloat16": bfloat16_rows,
    "detection": detection_rows,
    "classification": classification_rows,
    "unnamed": unnamed_rows,
    "confusion": confusion_rows,
    "training": training_rows,
    "comparison": comparison_rows,
    "published": published_rows,
    "longer": long_comparison_rows,
    "otherwise": other_training_rows,
}
