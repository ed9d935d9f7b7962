"""Tests of training/registry."""
