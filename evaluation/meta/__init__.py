"""Tensors and caches of every family against models that transformers builds on the meta device."""
