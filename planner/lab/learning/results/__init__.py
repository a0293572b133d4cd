"""Files that benchmarks of served models write, a reader each."""
