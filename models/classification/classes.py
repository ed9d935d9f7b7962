"""Classes of target crops."""

from __future__ import annotations

from contracts.result import CLUTTER

CLASS_NAMES = ("person", "car", "bicycle", "other_vehicle", "airplane", "bird", "drone", "helicopter")
"""Classes of targets that data sets label."""
CLASSES_AND_CLUTTER = (*CLASS_NAMES, CLUTTER)
"""The same, and what is no target: false alarms of the finders."""
