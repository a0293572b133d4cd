"""What models' and engines' own guides deploy, as data; no plan is judged here."""
