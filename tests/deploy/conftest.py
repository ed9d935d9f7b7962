"""Commands that train and measure use the made data sets of `tests/training`."""

from __future__ import annotations

from tests.training.conftest import made_data, made_root

__all__ = ["made_data", "made_root"]
