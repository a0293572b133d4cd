"""Bytes per device: weights, caches, activations, runtime."""
