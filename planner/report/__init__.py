"""Plans for people: terminal tables and HTML."""
