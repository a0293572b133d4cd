"""Checkable claims of a published article on low precision for DeepSeek models, recomputed."""
