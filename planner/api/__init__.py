"""The verbs of the Python package, one a file."""
