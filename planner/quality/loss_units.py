"""Units of a loss: relative to a uniform scheme, or nats of mean KL."""

RELATIVE, NATS = "relative", "nats"
