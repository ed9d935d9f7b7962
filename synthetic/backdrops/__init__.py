"""Backdrops behind the targets: sky, tree lines and roofs, sea, ground from above, the Earth from orbit."""
