"""Charts: their numbers and texts as records, and the drawer of pages (SVG)."""
