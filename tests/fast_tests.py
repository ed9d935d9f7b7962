"""The bound of `make check`: a test that computes for long is marked `slow`, or the run fails and says so.

CPU time is counted, of this process and of those it waited for: on a busy machine it stays nearly the same, unlike the clock.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

LIMIT = "fast_test_cpu_s"
_LEFT_TO_MAKE_TEST = ("slow", "broker", "ray", "whole_matrix")
_over_limit = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The limit is a setting of the run: `make check` sets it."""
    parser.addini(LIMIT, "CPU seconds that a test without the mark `slow`, `broker` or `ray` may take; 0: any", default="0")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note a test that took too much, with all the fixtures it was the first to use."""
    began_s = cpu_s()
    ran = yield
    spent_s = cpu_s() - began_s
    limit_s = float(item.config.getini(LIMIT))
    if 0 < limit_s < spent_s and not any(item.get_closest_marker(mark) for mark in _LEFT_TO_MAKE_TEST):
        item.config.stash.setdefault(_over_limit, {})[item.nodeid] = spent_s
    return ran


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where all tests passed and one of them took too much."""
    if session.config.stash.get(_over_limit, {}) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the tests that took too much."""
    over = config.stash.get(_over_limit, {})
    if over:
        terminalreporter.section("too slow for make check", red=True)
    for name, spent_s in over.items():
        limit = f"at most {float(config.getini(LIMIT)):g} s of CPU time"
        terminalreporter.line(f"{name}: expected {limit}, got {spent_s:.1f} s. Make it faster, or mark it: @pytest.mark.slow")


def cpu_s() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
