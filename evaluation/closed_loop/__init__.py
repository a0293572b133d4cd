"""The closed loop on this machine: engines in an environment of their own, plans run on them,
predicted and measured side by side. ``make engines`` runs it; no test starts an engine."""
