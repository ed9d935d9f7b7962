"""What the person who trains sees on stderr."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from deploy.terminal.progress import Bars, Lines, show_on
from deploy.terminal.training_view import export_shown, learn
from models.segmentation.base import SegmentationModel
from models.zoo import load_model
from tests.training.loop.test_checkpoint import small
from training.data.samples import Role
from training.registry.export import Provenance
from training.tasks.measuring import choose_segmentation_threshold, measure_segmentation


def test_lines_come_every_half_minute_and_count_from_where_this_start_went_on() -> None:
    now_s = [0.0]
    out = io.StringIO()
    with Lines(Console(file=out), "steps", lambda: now_s[0]) as show:
        for steps in range(1000, 1071):
            show("", steps, 2000, f"loss {steps / 1000:.1f}")
            now_s[0] += 1
        show("measuring run[v2]", 1, 9)
        now_s[0] += 3600
        show("measuring run[v2]", 9, 9)
        show("nothing done yet", 0, 9)
        now_s[0] += 31
        show("nothing done yet", 0, 9)
    assert out.getvalue().splitlines() == [
        "1030/2000 steps, loss 1.0, 0:00:30 gone, 0:16:10 left",
        "1060/2000 steps, loss 1.1, 0:01:00 gone, 0:15:40 left",
        "measuring run[v2], 9/9 steps, 1:00:00 gone, 0:00:00 left",
        "nothing done yet, 0/9 steps, 0:00:31 gone, time left not known",
    ]


def test_a_terminal_gets_bars_and_all_else_lines() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120)
    assert isinstance(show_on(Console(file=io.StringIO()), "steps"), Lines)
    shown = show_on(terminal, "images")
    assert isinstance(shown, Bars)
    with shown as show:
        show("choosing the threshold", 1, 2)
        show("measuring run[v2]", 3, 4, "loss 1")
    told = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "1/2 images  choosing the threshold" in told
    assert "3/4 images  measuring run[v2], loss 1" in told


@pytest.mark.slow
@pytest.mark.usefixtures("made_data")
def test_where_a_training_begins_is_told(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, soft_wrap=True)
    for epochs in (0.5, 0.7, 0.7):
        learn(console, "acm", small(epochs), tmp_path)
    assert out.getvalue().splitlines() == ["going on at step 3 of 5", "already done: 5 steps"]


class Impatient(io.StringIO):
    """A screen before which somebody presses Ctrl-C at some words, once."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words, self._pressed = words, False

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._words in text and not self._pressed:
            self._pressed = True
            raise KeyboardInterrupt
        return written


@pytest.mark.slow
@pytest.mark.usefixtures("made_data")
def test_a_training_that_is_done_does_not_go_on_when_it_is_stopped(tmp_path: Path) -> None:
    plan = small(0.5)
    learn(Console(file=io.StringIO()), "acm", plan, tmp_path)
    provenance = Provenance("irstream train acm", plan.source, plan.recipe)
    steps: list[tuple[str, Callable[[Console], object]]] = [
        ("already done", lambda console: learn(console, "acm", plan, tmp_path)),
        ("choosing the threshold", lambda console: export_shown(console, "acm", tmp_path, provenance, "cpu")),
    ]
    for words, step in steps:
        screen = Impatient(words)
        with pytest.raises(KeyboardInterrupt):
            step(Console(file=screen, soft_wrap=True))
        assert screen.getvalue().splitlines()[-1] == "stopped; the training is done, and the same command writes its weights"


@pytest.mark.usefixtures("made_data")
@pytest.mark.parametrize("formats", [(torch.float32,), (torch.float32, torch.bfloat16)], ids=["float32", "and bfloat16"])
def test_choosing_and_measuring_tell_every_image(formats: tuple[torch.dtype, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tasks.measuring.fastest_dtype", lambda device: formats[-1])
    network, _ = load_model("acm")
    assert isinstance(network, SegmentationModel)
    told: list[tuple[int, int]] = []
    choose_segmentation_threshold(network, ("sirst-v2",), report=lambda done, of: told.append((done, of)))
    measure_segmentation(network, Role.TEST, "", ("sirst-v2",), report=lambda done, of: told.append((done, of)))
    passes = 2 * len(formats)
    assert told == [(1, 2), (2, 2), *((done, passes) for done in range(1, passes + 1))]
    # Tensors there have no values: nothing else would fail on this device.
    with pytest.raises(RuntimeError):
        measure_segmentation(network, Role.TEST, "", ("sirst-v2",), device="meta")
