"""Plans as the configurations that engines and quantisers read, and back."""
