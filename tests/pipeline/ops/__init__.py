"""Tests of pipeline/ops."""
