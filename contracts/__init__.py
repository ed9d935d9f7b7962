"""Types that all layers share: positions, frames, blocks, outputs, results and errors (no torch, no ray)."""
