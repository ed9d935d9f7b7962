"""`make demo`: the whole system on one machine in a few minutes."""
