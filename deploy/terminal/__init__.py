"""Everything that draws on a terminal."""
