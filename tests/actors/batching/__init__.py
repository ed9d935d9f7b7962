"""Tests of actors/batching."""
