"""Tests, by the room they test. A package, because some dependencies install a folder called `tests` as well."""
