"""dfjax: train text-to-image diffusion models in JAX, from a laptop's CPU to a pod."""

__version__ = "0.1.0"
