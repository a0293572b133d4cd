"""Programs that run in an engine's own Python: they import that engine and nothing of this one.

Each reads a question (JSON, the first word) and writes an answer (JSON, the second).
"""
