"""Anything with images and captions, as sharded global batches."""
