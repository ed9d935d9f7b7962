"""A block's way through the three model actors to its outcomes."""
