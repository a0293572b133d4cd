"""Whether answers are what an operator would deploy: questions drawn from the table of published
practice, their answers judged by written criteria, with and without the question's own recipes."""
