"""What answers say, as ids with values; the words are catalogues, one a language."""
