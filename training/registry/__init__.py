"""From a trained checkpoint to weights with a card."""
