"""Data sets that are made here, in the shape of the real ones, for tests that train, measure and export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.made_sets import write_made_sets


@pytest.fixture(scope="module")
def made_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the made data sets."""
    root = tmp_path_factory.mktemp("sets")
    write_made_sets(root)
    return root


@pytest.fixture
def made_data(made_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets are read from `made_root`; one thread, as the networks are tiny."""
    monkeypatch.setenv("IRSTREAM_DATA", str(made_root))
    torch.set_num_threads(1)
