"""The claims of an article, recomputed: the verb of ``planner.lab.article``."""

from planner.lab.article.claims import claims as claims
