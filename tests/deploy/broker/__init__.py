"""Tests of deploy/broker."""
