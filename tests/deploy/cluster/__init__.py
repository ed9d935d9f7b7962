"""Tests of deploy/cluster."""
