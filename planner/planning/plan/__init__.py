"""The plan record, its file, its bounds and differences; no price."""
