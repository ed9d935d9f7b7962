"""`--device` is checked before anything else, by the same words in every command that has it."""

from __future__ import annotations

import pytest
import torch

from contracts.errors import SettingsError
from deploy.cli.main import main
from models.devices import choose_device

COMMANDS = (("train", "acm"), ("evaluate", "acm", "nudt-sirst"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("device", "text"),
    [
        ("gpu", "--device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        ("cpu:1", "--device: expected auto, cpu, cuda or cuda:N, got 'cpu:1'"),
        ("cuda:99", "CUDA devices torch sees, got cuda:99"),
    ],
)
def test_a_device_that_is_not_there_is_told_first(
    command: tuple[str, ...], device: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IRSTREAM_DATA", "nowhere")
    with pytest.raises(SystemExit) as ended:
        main([*command, "--device", device])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_auto_is_a_device_that_is_there() -> None:
    assert choose_device("auto") == torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(SettingsError, match="one of the 0 CUDA devices"):
        choose_device("cuda")
