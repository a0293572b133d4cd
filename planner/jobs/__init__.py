"""Results kept as they come, worker processes and clusters, for every long command."""
