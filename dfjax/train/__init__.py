"""The trainer: state, step, loop and what it reports."""
