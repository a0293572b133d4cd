"""Measure a checkpoint, tensor by tensor, and write its quality profile."""
