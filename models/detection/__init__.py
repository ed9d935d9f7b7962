"""Detectors of targets."""
