"""HTML and Markdown pages."""
