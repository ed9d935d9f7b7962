"""Tests of pipeline/runtime."""
