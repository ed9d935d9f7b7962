"""A container with half a CPU must not be given the threads of the whole machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.threads import choose_threads, cpu_quota, usable_cores

V1_QUOTA, V1_PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        pytest.param({"cpu.max": "150000 100000\n"}, 1.5, id="version 2"),
        pytest.param({"cpu.max": "50000 100000\n"}, 0.5, id="version 2, less than one"),
        pytest.param({"cpu.max": "max 100000\n"}, None, id="version 2, no limit"),
        pytest.param({V1_QUOTA: "200000\n", V1_PERIOD: "50000\n"}, 4.0, id="version 1"),
        pytest.param({V1_QUOTA: "-1\n", V1_PERIOD: "100000\n"}, None, id="version 1, no limit"),
        pytest.param({V1_QUOTA: "200000\n"}, None, id="version 1, half of it"),
        pytest.param({}, None, id="no control groups"),
        pytest.param({"cpu.max": "100000 0\n"}, None, id="no period"),
        pytest.param({"cpu.max": "\u00fc"}, None, id="not a number"),
        pytest.param({"cpu.max": ""}, None, id="empty"),
    ],
)
def test_the_quota_of_a_container(files: dict[str, str], cpus: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert cpu_quota(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "most"), [("10000 100000", 1), ("150000 100000", 2), ("99900000 100000", 999), ("max 100000", 999)])
def test_cores_are_bounded_by_the_quota_and_never_more_than_there_are(quota: str, most: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    there = usable_cores(tmp_path / "nowhere")
    assert 1 <= there <= (os.cpu_count() or 1)
    assert usable_cores(tmp_path) == min(there, most)


def test_where_affinity_is_unknown_all_cores_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    assert usable_cores(tmp_path) == os.cpu_count()


def test_what_is_asked_for_is_taken() -> None:
    assert choose_threads(7) == 7


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (9, 4)])
def test_of_itself_a_network_takes_half_of_the_cores(cores: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.threads.usable_cores", lambda: cores)
    assert choose_threads(None) == threads
