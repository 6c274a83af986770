"""Checkpoints and averages of the weights: atomic, asynchronous, restored onto any mesh."""
