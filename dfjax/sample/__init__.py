"""The sampler, alone: no trainer, no data pipeline, no TensorFlow."""
