"""Tests of pipeline/table."""
