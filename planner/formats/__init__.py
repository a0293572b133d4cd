"""Number formats, schemes, cache layouts, and the bytes of a tensor under them."""
