"""Files of others as arrays, read without running anything."""
