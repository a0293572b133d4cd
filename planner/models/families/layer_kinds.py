"""Lists of one word or one flag a layer, as hybrid models state what each layer is."""

from __future__ import annotations

from collections.abc import Mapping

from planner.models.fields import Fields

ATTENTION = {"full_attention": "full", "attention": "full", "sliding_attention": "window",
             "linear_attention": "linear", "mamba": "linear", "conv": "linear"}  # fmt: skip
"""What transformers and releases call a layer's mixer."""
MLP = {"dense": "dense", "sparse": "sparse"}


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
