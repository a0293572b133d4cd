"""Loss of an assignment: emulated error times sensitivity."""
