"""What is minimised: per-example losses of networks over batches."""
