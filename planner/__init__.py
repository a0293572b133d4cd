"""Per-layer precision plans for LLM inference."""

__version__ = "0.1.0"
