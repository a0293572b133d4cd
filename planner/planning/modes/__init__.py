"""How a question is answered as a whole: one pool or two, drafted tokens, prefixes that stay."""
