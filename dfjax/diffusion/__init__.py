"""The mathematics of diffusion: pure functions, no network, no I/O, no config."""
