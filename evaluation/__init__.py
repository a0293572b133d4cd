"""The loss model against measured losses of real models: ``make evaluate``."""
