"""The pure array problem and its solvers; no model and no device."""
