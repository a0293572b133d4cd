"""Several models on a stock of devices: which plans, how many replicas, and what is left."""
