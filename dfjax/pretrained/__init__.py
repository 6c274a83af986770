"""Networks that others trained, in JAX, over weights of packages or of the user."""
