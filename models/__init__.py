"""The networks: interface, registry, weights, transforms, losses (torch, no ray)."""
