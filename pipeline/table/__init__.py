"""The results table: rows and offsets in one commit, its care."""
