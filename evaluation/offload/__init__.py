"""Published speeds of models whose experts live in host memory, beside what is predicted."""
