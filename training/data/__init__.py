"""Data sets: their images, labels and splits, and how crops are drawn from them."""
