"""Tracks: which detections of a sensor's frames are one target. Knows no Kafka, no table and no threads."""
