"""The numbers of figures, without a way to draw them: SVG and matplotlib draw the same records."""
