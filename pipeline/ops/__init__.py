"""Proof and care of results: audit, coverage, explain, replay."""
