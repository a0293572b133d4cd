"""The table of families names every family file and every type that it builds."""

from __future__ import annotations

import importlib
import pkgutil

from planner.models import families


def test_table_lists_exactly_what_the_families_build() -> None:
    built = {}
    for module in pkgutil.iter_modules(families.__path__):
        family = importlib.import_module(f"planner.models.families.{module.name}")
        for model_type in getattr(family, "MODEL_TYPES", ()):
            built[model_type] = module.name
    assert built == families.FAMILY_OF
