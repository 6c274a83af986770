"""Foundations that need only jax and numpy."""
