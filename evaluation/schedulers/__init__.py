"""Engines' own schedulers, run without a GPU on the same requests: pass by pass beside ours."""
