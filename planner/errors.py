"""Where 0.2 had its errors: ``planner`` itself has them. Works until 0.4, with a warning."""

from __future__ import annotations

import warnings
from typing import Any

from planner.base import errors


def __getattr__(name: str) -> Any:
    """An error by its name, for ``from planner.errors import …``.

    Raises:
        AttributeError: there is no such error.
    """
    value = getattr(errors, name)
    if not name.startswith("__"):
        warnings.warn(
            f"planner.errors.{name} is planner.{name} since 0.3; the old name goes with 0.4",
            DeprecationWarning,
            stacklevel=2,
        )
    return value
