"""What was probably meant: a misspelt command, a model and a device the wrong way round."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import click

from planner.base.errors import UnknownNameError
from planner.base.system import is_path
from planner.cli.device_count import without_count
from planner.cli.refusals import say
from planner.cli.types import Hinted

NEAR = 0.8
_EXTRA = re.compile(r"unexpected extra arguments? \((.+)\)", re.DOTALL)
FLAGS_BY_WORD = {"help": "plan --help", "version": "plan --version"}


def unknown_command(word: str, commands: Iterable[str]) -> None:
    """Refuse a first word that is no model and looks like a command more than like any model.

    Raises:
        Hinted: naming the command.
    """
    names = sorted(commands)
    near, how = _nearest(word, names)
    flag = FLAGS_BY_WORD.get(word.lower())
    if (
        word.startswith("-")
        or (how < NEAR and flag is None)
        or is_path(word)
        or os.path.exists(word)
    ):
        return
    from planner.models.catalog import known_names

    models = known_names()
    if word.lower() in models or _nearest(word, models)[1] > how:
        return
    raise Hinted(
        say("unknown_command", name=repr(word)),
        say("see", what=f"`{flag}`")
        if flag is not None
        else say("did_you_mean", names=f"`{near}`"),
    )


def _nearest(word: str, names: Iterable[str]) -> tuple[str, float]:
    from difflib import SequenceMatcher

    match = SequenceMatcher(b=word.lower(), autojunk=False)
    best = ("", 0.0)
    for name in names:
        match.set_seq1(name.lower())
        if match.real_quick_ratio() > best[1] and match.quick_ratio() > best[1]:
            best = max(best, (name, match.ratio()), key=lambda pair: pair[1])
    return best


def surplus(words: Sequence[str], commands: Iterable[str]) -> tuple[str, str] | None:
    """(error, hint) where there are more arguments than a model and a device and the first is no
    model: it was meant as a command. None else."""
    from planner.models.catalog import is_model
    from planner.models.common_names import is_common_name

    if (
        not words
        or words[0] in commands
        or words[0].startswith("-")
        or is_path(words[0])
        or is_model(words[0])
        or is_common_name(words[0])
        or os.path.exists(words[0])
    ):
        return None
    return say("unknown_command", name=repr(words[0])), say("help_lists")


def extra_words(error: click.UsageError, words: Sequence[str]) -> str:
    """What arguments after MODEL and DEVICE were meant as: the rest of a device's name, which wants
    quotes, or ``--devices 8``; empty where neither."""
    found = _EXTRA.search(error.message)
    if found is None or error.ctx is None:
        return ""
    extra = found[1].split(" ")
    at = next((i for i in range(1, len(words)) if [*words[i : i + len(extra)]] == extra), 0)
    if at:
        from planner.hardware.catalog import is_device

        phrase = " ".join(words[at - 1 : at + len(extra)])
        if is_device(without_count(phrase)):
            return say("quote_the_device", name=f'"{phrase}"')
    own = any(parameter.name == "devices" for parameter in error.ctx.command.params)
    return say("did_you_mean", names=f"--devices {extra[0]}") if own and _is_count(extra) else ""


def _is_count(words: Sequence[str]) -> bool:
    return len(words) == 1 and len(words[0]) < 7 and words[0].isascii() and words[0].isdigit()


def in_order(words: Sequence[str], error: UnknownNameError) -> str:
    """What was meant by an unknown model: a release of a bundled one; one that files are known of;
    or the command with model and
    device exchanged, where ``words`` has them the wrong way round, a model after what is unknown as
    one. Empty where it is neither."""
    from shlex import join

    from planner.models.catalog import is_model

    if error.what != "model":
        return ""
    if released := _base_of(error.name):
        return say("release_of", model=released)
    if others := _files_of_another(error.name):
        return say("files_known_of", repository=others)
    if error.name not in words:
        return ""
    first = words.index(error.name)
    if first + 1 >= len(words) or not is_model(words[first + 1]):
        return ""
    turned = list(words)
    turned[first : first + 2] = words[first + 1], words[first]
    return say("model_first", command=join(["plan", *turned]))


def _files_of_another(name: str) -> str:
    """The repository of a model that is not bundled, whose name begins with ``name`` and of which
    published files are known; the most downloaded, or nothing, also where bundled models' names
    begin so."""
    from planner.models.catalog import plain_letters
    from planner.models.common_names import beginnings, is_common_name
    from planner.planning.engines.repositories import repositories

    if is_common_name(name):
        return ""
    letters = plain_letters(name.split("/")[-1])
    others = [row for row in repositories() if not row.model]
    alike = [row for row in others if letters in beginnings(row.of.split("/")[-1])]
    return max(alike, key=lambda row: row.downloads).of if alike else ""


def _base_of(name: str) -> str:
    """The bundled model that ``name`` is a published release of, or nothing."""
    from planner.planning.engines.published import release_named

    release = release_named(name)
    return "" if release is None else release.model
