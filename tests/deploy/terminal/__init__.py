"""Tests of deploy/terminal."""
