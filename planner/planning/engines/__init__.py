"""What an engine does with a scheme, as data."""
