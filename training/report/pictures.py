"""Pictures of what the networks that ship say on test images: `irstream models pictures docs/img`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contracts.choices import chosen
from evaluation.drawing import write_small_png
from models.zoo import load_model, task_named
from training.recipes import default_task
from training.report.card_tables import CLASSIFIER, DETECTORS, SEGMENTERS

NETWORKS = (SEGMENTERS[0], DETECTORS[0], CLASSIFIER)
"""Those that are drawn, one of each task."""


def write_pictures(folder: Path, tasks: Sequence[str] = ()) -> None:
    """Draw and write `networks-TASK.png` of some tasks; none given: all.

    Raises:
        SettingsError: no such task, or data that are not there.
    """
    every = {str(task_named(name)): name for name in NETWORKS}
    drawn = {task: chosen(every, task, "task to draw") for task in tasks or every}
    folder.mkdir(parents=True, exist_ok=True)
    for task, name in drawn.items():
        model = load_model(name)[0]
        write_small_png(default_task(model).picture(model), folder / f"networks-{task}.png")
