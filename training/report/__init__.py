"""Reports, tables and pictures of trained networks."""
