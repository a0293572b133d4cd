"""Quantised releases: which modules a configuration names, and how checkpoints store them."""
