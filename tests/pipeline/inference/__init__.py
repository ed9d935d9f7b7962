"""Tests of pipeline/inference."""
