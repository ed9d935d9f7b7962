"""The three model actors, their batcher and their settings."""
