"""``--online``, on every command that takes a MODEL: the hub may be asked for it."""

from __future__ import annotations

from typing import Any

import click

NAME, FLAG = "online", "--online"
_HELP = "Read MODEL from the hub where it is not bundled (hf:org/name)."
_NAMED = ("model", "draft", "speculation")
"""Parameters that may name a model."""


def take_online(command: click.Command) -> None:
    """Give ``command`` the flag if it has a MODEL: with it, what the hub has of the models that are
    named is read and kept before the command begins, which finds it there."""
    model = next((p for p in command.params if p.name == "model"), None)
    inner = command.callback
    if model is None or inner is None or any(p.name == NAME for p in command.params):
        return
    command.params.append(click.Option([FLAG], is_flag=True, help=_HELP))

    def callback(**given: Any) -> Any:
        if given.pop(NAME, False):
            _fetch_named(given)
        return inner(**given)

    command.callback = callback


def _fetch_named(given: dict[str, Any]) -> None:
    from planner.cli.ignored import model_of_scenario
    from planner.models.online import fetch_model
    from planner.planning.engines.published import release_named

    names = [given[key] for key in _NAMED if isinstance(given.get(key), str)]
    if not given.get("model"):
        names.append(model_of_scenario(given.get("scenario")) or "")
    for name in (part.strip() for text in names for part in text.split(",")):
        if "/" in name and (name.lower().startswith("hf:") or release_named(name) is None):
            fetch_model(name)
