"""Anything with images and captions, as sharded global batches."""

from dfjax.core.registry import SOURCES

SOURCES.later("emoji_captions", "dfjax.datasets.emoji:open_source")
