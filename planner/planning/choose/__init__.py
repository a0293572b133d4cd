"""Which of several plans to take in view of how sure their times are."""
