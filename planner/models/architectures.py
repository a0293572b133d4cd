"""What becomes of every class of vLLM's and SGLang's registries: ``data/architectures.csv``.

A class is planned (a family reads its ``model_type``), counted (it writes no words one by one, or
keeps no cache, so there is nothing to plan) or refused with the reason. Which engine has which
class, and from which version, is in ``planner/planning/data/engine_models.csv``.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.models.fields import Fields

_DATA = Path(__file__).resolve().parent / "data" / "architectures.csv"
REFUSED = "refused"
WHY = {
    "acts": "it steers a robot or a vehicle, and what it gives beside words is not modelled",
    "backend": "it is an engine's way to run a class of Transformers, not a model",
    "crosses": "its decoder keeps keys and values of an encoder's outputs beside its own, which is "
    "not modelled",
    "denoises": "it writes a block of words in several passes over all of them, and a plan's step "
    "is a word",
    "draft": "it drafts words for another model, and is none by itself",
    "encoder": "it reads a whole input at once and has no decode steps",
    "hears": "its encoder of sound has not been compared with a release",
    "loops": "it runs its layers several times for a word, which is not modelled",
    "scores": "what it has in the place of a language head has not been compared with a release",
    "sees": "its encoder of images has not been compared with a release",
    "shares": "its layers read compressed keys and values that a few of them keep, in 4-bit "
    "entries at several rates, and tables of n-grams beside them, which is not modelled",
    "states": "no layer keeps keys or values, so that only memory and an estimate are answered",
    "unread": "its tensors and caches have not been compared with a release",
}
"""Why a class is counted only, or refused."""
NEVER = frozenset({"acts", "backend", "denoises", "draft", "loops"})
"""Reasons that hold whatever library could build the class."""
_WAYS = {
    "acts": "name a model that writes words",
    "backend": "architectures has to name the model's own class",
    "crosses": "`plan inventory` counts it once transformers is installed: "
    "pip install 'precision-planner[hf]'",
    "denoises": "name the model that it was made from, if a plan of that helps",
    "draft": "name the model that it drafts for; `--speculation eagle` and `--speculation mtp` "
    "plan drafts",
    "hears": "plan its text model: save text_config as a config.json of its own",
    "loops": "name a model whose layers run once",
    "sees": "plan its text model: save text_config as a config.json of its own",
    "shares": "DeepSeek-V4 is modelled: name deepseek-v4-flash or deepseek-v4-pro",
}
_READ_ANYWAY = (
    "if its tensors are those of the family that model_type names, with a language head, say so "
    "with --ignore-keys architectures"
)
_BUILT = "a type that the installed transformers builds is planned: " + (
    "pip install 'precision-planner[hf]'"
)


@record
class ArchitectureVerdict:
    """What becomes of class ``name``: ``verdict`` is planned, counted or refused; ``types`` are the
    ``model_type`` values whose family reads it; ``why`` is a key of :data:`WHY`, "" where it is
    planned."""

    name: str
    verdict: str
    types: tuple[str, ...]
    why: str


@cache
def verdicts() -> dict[str, ArchitectureVerdict]:
    """Every class of both registries, by its name."""
    with _DATA.open(encoding="utf-8", newline="") as file:
        return {
            row["architecture"]: ArchitectureVerdict(
                row["architecture"], row["verdict"], tuple(row["types"].split()), row["why"]
            )
            for row in csv.DictReader(file)
        }


def refuse_class(name: str, fields: Fields, *, known: bool, builds: bool) -> None:
    """Refuse class ``name`` where its verdict is that; ``known``: a family reads its
    ``model_type``, as a class with other tensors may have it; ``builds``: a library is there that
    may build it.

    Raises:
        UnsupportedError: it names the class and the reason.
    """
    found = verdicts().get(name)
    if found is None or found.verdict != REFUSED:
        return
    if found.why not in NEVER and ((builds and not known) or fields.allowed("architectures")):
        return
    way = _WAYS.get(found.why, _READ_ANYWAY if known else _BUILT)
    raise UnsupportedError(
        f"{fields.place}: {short_repr(name)} cannot be planned: {WHY[found.why]}", hint=way
    )
