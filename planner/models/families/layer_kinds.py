"""Lists of one word or one flag a layer, as hybrid models state what each layer is."""

from __future__ import annotations

from collections.abc import Mapping

from planner.errors import DataError
from planner.models.fields import MAX_LAYERS, Fields

ATTENTION = {"full_attention": "full", "attention": "full", "sliding_attention": "window",
             "linear_attention": "linear", "mamba": "linear", "conv": "linear"}  # fmt: skip
"""What transformers and releases call a layer's mixer."""
MLP = {"dense": "dense", "sparse": "sparse"}
_DIGITS = len(str(MAX_LAYERS))


def listed_kinds(
    fields: Fields, name: str, layers: int, words: Mapping[str, str], *, after: int = 0
) -> tuple[str, ...]:
    """What key ``name`` calls each layer, translated by ``words``; empty where it is absent. The
    ``after`` prediction layers behind them may be in it too.

    Raises:
        DataError: a list of another length, or a word that is not understood.
    """
    stated = fields.strings(name)
    if not stated:
        return ()
    if len(stated) not in (layers, layers + after):
        raise fields.error(name, f"has {len(stated)} entries for {layers} layers")
    unknown = sorted(set(stated) - set(words))
    if unknown:
        raise fields.error(name, f"holds {ascii(unknown[0])[:60]}; understood: "
                           + ", ".join(words))  # fmt: skip
    return tuple(words[word] for word in stated)


def flagged(fields: Fields, name: str, layers: int) -> tuple[int, ...] | None:
    """The layers that a list of one 0 or 1 a layer marks with 1; None where it is absent.

    Raises:
        DataError: a list of another length, or with other numbers.
    """
    flags = fields.integers(name, low=0, high=1)
    if not flags:
        return None
    if len(flags) != layers:
        raise fields.error(name, f"has {len(flags)} entries for {layers} layers")
    return tuple(layer for layer, flag in enumerate(flags) if flag)


def layers_of(kinds: tuple[str, ...], kind: str) -> tuple[int, ...]:
    """The layers that are ``kind``."""
    return tuple(layer for layer, found in enumerate(kinds) if found == kind)


def entry_of_layers(layered: Fields, layers: tuple[int, ...], called: str) -> Fields:
    """The one entry that ``layers`` have, and no others, in ``per_layer_config``: the object of
    what some layers have otherwise, by their numbers.

    Raises:
        DataError: another set of layers, or entries that differ.
    """
    names = layered.names()
    values = [layered.take(name) for name in names]
    found = {int(name) for name in names if name.isdecimal() and len(name) <= _DIGITS}
    if found != set(layers) or len(names) != len(layers):
        raise DataError(
            f"{layered.place} is not about the {called}",
            hint="compare it with the configuration of the release",
        )
    if any(value != values[0] for value in values):
        raise DataError(
            f"{layered.place} differs between layers, which is not understood",
            hint="compare it with the configuration of the release",
        )
    return layered.nested(names[0]) or layered
