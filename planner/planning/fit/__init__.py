"""Models and published files that suit a machine, ranked."""
