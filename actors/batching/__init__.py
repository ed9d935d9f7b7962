"""Batches across blocks and sensors: queues by shape, when a batch closes, what happens when one fails."""
