"""Models of the hub: their names, what was read of them and is kept here, and the reader that asks
the hub, only where a caller says so (``online``)."""
