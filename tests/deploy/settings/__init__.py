"""Tests of deploy/settings."""
