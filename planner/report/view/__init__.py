"""What is said of a result: headings, tables, charts and notes, ready for any page."""
