"""Tests of pipeline/kafka."""
