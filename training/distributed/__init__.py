"""Training of several processes and several folds, on one machine or a Ray cluster."""
