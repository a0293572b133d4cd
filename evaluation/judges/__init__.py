"""Printed commands and exported files, judged by each engine's own parser and configuration."""
