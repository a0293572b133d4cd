"""What an assignment costs in full, one or many at once, with intervals."""
