"""Models that the hub is asked for, where a caller allows it: the names that are no bundled model's
and no path."""

from __future__ import annotations

import os
from collections.abc import Iterable

from planner.base.system import is_windows_path
from planner.models.catalog import bundled_of, is_model
from planner.models.hub.names import HubName, hub_name, is_hub_name, required_hub_name


def wanted_name(text: str) -> HubName | None:
    """The repository of the hub that ``text`` names; None where it is a path or a bundled model.

    Raises:
        InputError: it begins with ``hf:`` and is no name of the hub.
    """
    if is_hub_name(text):
        return required_hub_name(text)
    is_path = text.startswith((".", "/")) or is_windows_path(text) or os.path.exists(text)
    return None if is_path or is_model(text) or "/" not in text else hub_name(text)


def fetch_model(text: str, known: Iterable[str] = ()) -> None:
    """Read from the hub what a question needs of the model that ``text`` names, and keep it;
    nothing where it is bundled, a path, or among the ``known`` names.

    Raises:
        MissingPackageError: ``huggingface_hub`` is not installed.
        InputError: no such repository, no leave, no network. DataError: it is not understood.
    """
    name = wanted_name(text)
    if name is None or text in known:
        return
    from planner.models.hub.fetch import fetch

    fetch(name, bundled_of)
