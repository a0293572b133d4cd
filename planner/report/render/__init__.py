"""Pages: HTML, Markdown, notebook cells, and the parts that readers move."""
