"""Number format and device where nobody names one."""

from __future__ import annotations

import pytest
import torch

from contracts.errors import SettingsError
from models.devices import choose_device, suitable_dtype


@pytest.mark.parametrize(
    ("device", "iou_change", "dtype"),
    [
        ("cpu", 0.0, torch.float32),
        ("cuda", 0.001, torch.bfloat16),
        ("cuda", 0.0011, torch.float32),
        ("cuda", None, torch.float32),
    ],
)
def test_bfloat16_is_chosen_on_a_gpu_where_it_is_fast_and_known_to_be_right(
    device: str, iou_change: float | None, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.devices.fastest_dtype", lambda device: torch.bfloat16)
    assert suitable_dtype(torch.device(device), iou_change) is dtype
    monkeypatch.setattr("models.devices.fastest_dtype", lambda device: torch.float32)
    assert suitable_dtype(torch.device(device), iou_change) is torch.float32


@pytest.mark.parametrize(
    ("name", "num_gpus", "device"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda"), ("cuda:1", 2, "cuda:1")],
)
def test_a_name_means_a_device(name: str, num_gpus: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: num_gpus)
    assert choose_device(name) == torch.device(device)


@pytest.mark.parametrize(
    ("name", "num_gpus", "expected"),
    [("cuda", 0, "one of the 0 CUDA devices"), ("cuda:1", 1, "one of the 1 CUDA devices"), ("tpu", 1, "auto, cpu, cuda or cuda:N")],
)
def test_a_device_that_is_not_there_is_refused(name: str, num_gpus: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: num_gpus)
    with pytest.raises(SettingsError, match=expected):
        choose_device(name)
