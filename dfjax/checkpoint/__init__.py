"""Checkpoints: atomic, asynchronous, restored onto any mesh."""
