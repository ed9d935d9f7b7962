"""Data sets, augmentation, the training loop and one recipe per network."""
