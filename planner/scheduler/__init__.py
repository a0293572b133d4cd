"""How engines schedule requests, step by step: which prompts and tokens a pass holds, what is
evicted, what waits; what a pass costs is the one law of time, tabulated."""
