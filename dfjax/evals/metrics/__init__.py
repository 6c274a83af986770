"""Metrics of features and similarities: NumPy in float64, no JAX, no files."""
