"""Formats and libraries' rules beside the libraries themselves, on fresh seeds."""
