"""Faults of real processes: what is lost, what is doubled, and how long until frames flow again."""
