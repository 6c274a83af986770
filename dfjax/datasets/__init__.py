"""The embedded data sets. Nothing else in the house knows them."""
