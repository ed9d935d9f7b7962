"""Tasks: how each is trained and measured."""
