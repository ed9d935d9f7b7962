"""CPU threads of a network: from the cores this process has, and the share of them its container is given."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def choose_threads(asked: int | None) -> int:
    """CPU threads of one network: what was asked for, else half of the cores this process may use, at least one."""
    return asked or max(1, usable_cores() // 2)


def usable_cores(cgroups: Path = CGROUPS) -> int:
    """Cores this process may use: those it may run on, but no more than the CPU time its container gets, rounded up.

    More threads than that are stopped together as soon as the quota of a period is spent, and a batch takes longer.
    """
    # macOS cannot tell which cores a process may run on.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(cgroups)
    return cores if quota is None else min(cores, math.ceil(quota))


def cpu_quota(cgroups: Path = CGROUPS) -> float | None:
    """CPUs a container may use on average.

    Args:
        cgroups: where the control groups are mounted; in a container this is its own group.

    Returns:
        Seconds of CPU time per second; None without a limit, or where there are no control groups.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (`cpu.max`) and Documentation/scheduler/sched-bwc.rst (version 1).
    """
    quota, period = [*_words(cgroups / "cpu.max"), "", ""][:2]
    if not quota:
        quota, period = (" ".join(_words(cgroups / "cpu" / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    try:
        limit_us, period_us = int(quota), int(period)
    except ValueError:  # "max", or no such files
        return None
    return limit_us / period_us if limit_us > 0 and period_us > 0 else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []
