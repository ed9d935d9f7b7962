"""What the layers agree on: positions, frames, blocks, outputs, results and errors (no torch, no ray)."""
