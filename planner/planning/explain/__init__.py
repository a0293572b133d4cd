"""Why the plan is as it is: next best, prices of limits, switching points."""
