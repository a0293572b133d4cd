"""How much a model loses by an error in each of its matrices, learned from measured models."""
