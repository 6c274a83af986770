"""Meshes, sharding rules and the start-up of several hosts."""
