"""`plan learn`: runs of other programs read back, and what they say of this machine."""
