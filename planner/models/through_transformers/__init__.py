"""Models without a family of their own, as the installed transformers builds them (``[hf]``).

``limits`` looks at the configuration, ``worker`` builds the model on the meta device in a process
beside, ``built`` starts it and reads its answer, ``kinds`` and ``tensors`` make rows of what it
found, ``caches`` the attention, ``model`` the whole.
"""
