"""Classifiers of target crops."""
