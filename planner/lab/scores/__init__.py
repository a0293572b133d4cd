"""Scores that other tools gave the tensors of a checkpoint, read into one table."""
