"""Augmentation: changes to images before a network learns from them; all of it seeded."""
