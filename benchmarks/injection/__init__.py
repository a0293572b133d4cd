"""Strings of untrusted files in every output: refused where they are read, or inert."""
