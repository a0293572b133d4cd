"""How serving engines turn device memory into cache capacity, by version."""
