"""Many questions at once: read, spread over workers, answered in one table."""
