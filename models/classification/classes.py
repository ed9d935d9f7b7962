"""Classes of target crops."""

from __future__ import annotations

from contracts.result import CLASS_NAMES as CLASS_NAMES
from contracts.result import CLUTTER

CLASSES_AND_CLUTTER = (*CLASS_NAMES, CLUTTER)
"""The same, and what is no target: false alarms of the finders."""
