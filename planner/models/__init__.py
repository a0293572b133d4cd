"""Models from configurations: structure and tensor inventory."""
