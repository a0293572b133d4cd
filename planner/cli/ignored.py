"""``--ignore-keys``, on every command that takes a MODEL: the user's word on its configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from planner.cli.refusals import say, spoken
from planner.cli.types import F, Hinted

if TYPE_CHECKING:
    from planner.models.spec import ModelSpec

NAME, FLAG = "ignore_keys", "--ignore-keys"
_HELP = "Unknown keys of MODEL's configuration to ignore."


def take_ignored_keys(command: click.Command) -> None:
    """Give ``command`` the flag if it has a MODEL; with it, the command gets the model as read.

    The callback sees a :class:`~planner.models.spec.ModelSpec` (a list, where several are named)
    in place of the name, so that no command has to know of the flag.
    """
    model = next((p for p in command.params if p.name == "model"), None)
    inner = command.callback
    if model is None or inner is None or any(p.name == NAME for p in command.params):
        return
    command.params.append(click.Option([FLAG], metavar="A,B", help=_HELP))
    several = "," in (model.metavar or "")

    def callback(**given: Any) -> Any:
        keys = key_names(given.pop(NAME, None))
        if keys:
            name = given["model"] or model_of_scenario(given.get("scenario"))
            if not name:
                raise Hinted(
                    say("needs_model", flag=FLAG),
                    say("name_configuration"),
                )
            given["model"] = _those(name, keys) if several else _read(name, keys)
        return inner(**given)

    command.callback = callback


def ignore_keys_option() -> Callable[[F], F]:
    """The flag of a command that reads a folder itself."""
    return click.option(FLAG, NAME, metavar="A,B", help=_HELP.replace("MODEL", "CHECKPOINT"))


def key_names(text: str | None) -> tuple[str, ...]:
    """The names of ``--ignore-keys``; none where it is not given."""
    if text is None:
        return ()
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise Hinted(
            say("is_empty", flag=FLAG),
            say("for_example", flag=FLAG, value="altup_lanes,text_config.gate_kind"),
        )
    return names


def say_ignored(keys: Sequence[str], name: str) -> None:
    """Say on stderr which keys are passed over, whatever else the command prints."""
    click.echo(spoken(say("passed_over", name=name, keys=", ".join(keys))), err=True)


def _read(name: str, keys: tuple[str, ...]) -> ModelSpec:
    from planner.lookup import load_model

    spec = load_model(name, ignore_keys=keys)
    say_ignored(spec.ignored_keys, spec.id)
    return spec


def _those(names: str, keys: tuple[str, ...]) -> list[ModelSpec]:
    """Several models; the keys are passed over in those that are refused otherwise."""
    from planner.base.errors import DataError
    from planner.lookup import load_model

    model_specs, wanted = [], False
    for name in filter(None, (part.strip() for part in names.split(","))):
        try:
            model_specs.append(load_model(name))
        except DataError:
            model_specs.append(_read(name, keys))
            wanted = True
    if not wanted:
        raise Hinted(say("no_keys", flag=FLAG), say("leave_out", flag=FLAG))
    return model_specs


def model_of_scenario(scenario: str | None) -> str | None:
    """The model that a scenario names."""
    if scenario is None:
        return None
    from planner.planning.question.scenarios import load_scenario

    return load_scenario(scenario).values.get("model")
