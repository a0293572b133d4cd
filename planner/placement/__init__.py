"""Shards per rank, pipeline stages and expected distinct experts under a layout."""
