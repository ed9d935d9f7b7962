"""Metrics of detection, segmentation and classification."""
