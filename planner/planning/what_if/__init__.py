"""Many questions at once: frontiers, maps, grids."""
