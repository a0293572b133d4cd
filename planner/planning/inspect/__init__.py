"""Questions about one given plan."""
