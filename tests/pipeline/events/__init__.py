"""Tests of pipeline/events."""
