"""The best assignment over all candidates."""
