"""Denoisers as NNX modules that know nothing of meshes, data or training."""
