"""The commands, each a few lines that wire the rooms together."""
