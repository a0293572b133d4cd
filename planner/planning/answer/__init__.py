"""From the winner to the plan that people read."""
