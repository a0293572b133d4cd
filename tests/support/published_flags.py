"""The flags of a command and the keywords of a function, as they are."""

import inspect

import click

import planner
from planner.cli.main import cli


def flags(command: str) -> set[str]:
    """The long options of a command, without those that many have: help, the language, details."""
    found = {
        name
        for parameter in cli.commands[command].params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
    }
    return {name for name in found if name.startswith("--")} - {
        "--help",
        "--help-all",
        "--ignore-keys",
        "--lang",
        "--online",
        "--verbose",
        "--assumptions",
    }


def keywords(function: str) -> dict[str, object]:
    """Keyword-only parameters of a public function with their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(getattr(planner, function)).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
