"""Results by their class: what ``print`` writes of each, and its cell in a notebook.

``planner/__init__.py`` gives these functions to the registry that records ask
(planner/base/display.py).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from planner.messages.catalogue import ORIGINAL

if TYPE_CHECKING:
    import pandas as pd

    from planner.report.view.record import View

TEXT = {
    "Plan": ("planner.report.render.plan_text", "plan_text"),
}
"""Class of a result: the function that writes what its command prints on stdout, in English."""
FITTED = {
    "Capacity": ("planner.report.render.capacity_page", "capacity_text"),
    "Fleet": ("planner.report.render.fleet_page", "fleet_text"),
}
"""Class of a result: the function that writes what its command prints, of the result, a language
and ``details``: as many rows as its lines have room for."""
VIEWS = {
    "Inventory": ("planner.report.view.inventory", "inventory_view"),
    "MemoryAnswer": ("planner.report.view.memory", "memory_view"),
    "Frontier": ("planner.report.view.frontier", "frontier_view"),
    "Fitting": ("planner.report.view.fit", "fit_view"),
    "Learning": ("planner.report.view.learn", "learn_view"),
    "Verification": ("planner.report.view.verify", "verify_view"),
    "LayerNumerics": ("planner.report.view.numerics", "numerics_view"),
    "AlphaTable": ("planner.report.view.sensitivity", "sensitivity_view"),
    "Compared": ("planner.report.view.compared_view", "compared_view"),
    "ChoiceExplanation": ("planner.report.view.explain_choice", "choice_view"),
    "PoolsExplanation": ("planner.report.view.explain_pools", "pools_view"),
    "ModuleExplanation": ("planner.report.view.explain_module", "module_view"),
    "TrainingMemory": ("planner.report.view.train", "train_view"),
    "ReplayAnswer": ("planner.report.view.replay", "replay_view"),
    "ServingAnswer": ("planner.report.view.serve", "serve_view"),
    "ExpertUse": ("planner.report.view.experts", "experts_view"),
    "Difference": ("planner.report.view.diff", "diff_view"),
}
"""Class of a result: the function that makes its view, of the result and a language."""


def view_of(result: object, lang: str = ORIGINAL) -> View:
    """What its command says of a result, in a language.

    Raises:
        UnknownNameError: no such language.
    """
    module, name = next(VIEWS[c.__name__] for c in type(result).__mro__ if c.__name__ in VIEWS)
    made: View = getattr(import_module(module), name)(result, lang)
    return made


def text_of(result: object, lang: str = ORIGINAL, *, details: bool = False) -> str:
    """What the terminal shows, at 80 columns without colour; ``details``: as with ``-v``.

    Raises:
        UnknownNameError: no such language.
    """
    from planner.report.columns import plain_width

    with plain_width():
        return shown(result, lang, details=details)


def shown(result: object, lang: str, *, details: bool = False) -> str:
    """:func:`text_of` at the columns and with the colour that stdout has."""
    names = {c.__name__ for c in type(result).__mro__}
    if names & VIEWS.keys():
        from planner.report.render.terminal import text_of_view

        return text_of_view(view_of(result, lang), details=details)
    if fitted := names & FITTED.keys():
        module, name = FITTED[fitted.pop()]
        return str(getattr(import_module(module), name)(result, lang, details=details))
    module, name = next(TEXT[name] for name in TEXT if name in names)
    return str(getattr(import_module(module), name)(result))


def cell_of(plan: Any) -> str:
    """A plan's notebook cell: HTML without scripts."""
    from planner.report.render.notebook import fragment

    return fragment(plan)


def table_of(frame: pd.DataFrame) -> str:
    """The notebook cell of a frame: its numbers rounded."""
    from planner.report.render.notebook import rounded_table

    return rounded_table(frame)
