"""Pictures and clips from a table."""
