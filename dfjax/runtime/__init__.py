"""Processes of one run: joining, signs of life, preemption, supervision."""
