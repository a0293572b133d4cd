"""Types that an engine's quantiser mixes under one name: ``data/engine_mixes.csv``.

``more`` goes to the modules of ``kinds`` in some ``layers``, ``base`` to all else; ``more-bits``
are the first and last eighth of the layers and every third in between (llama.cpp's use_more_bits).
"""

from __future__ import annotations

import csv
from functools import cache

from planner.formats.schemes import SCHEMES
from planner.planning.engines.rules import DATA, RuleSource, sources
from planner.records import record

ALL, MORE_BITS = "all", "more-bits"


@record
class Mix:
    """One named mixture; ``kinds`` are module kinds."""

    engine: str
    name: str
    base: str
    more: str
    kinds: tuple[str, ...]
    layers: str
    note: str
    source: RuleSource

    def takes_more(self, layer: int, total: int) -> bool:
        """Whether ``kinds`` in ``layer`` of ``total`` take ``more``."""
        if self.layers == ALL:
            return True
        eighth = total // 8
        return layer < eighth or layer >= 7 * total // 8 or (layer - eighth) % 3 == 2


@cache
def engine_mixes() -> dict[str, Mix]:
    """Every mixture by its name."""
    known = sources()
    with (DATA / "engine_mixes.csv").open(encoding="utf-8", newline="") as file:
        found = {row["name"]: Mix(row["engine"], row["name"], row["base"], row["more"],
                                  tuple(row["kinds"].split()), row["layers"], row["note"],
                                  known[row["source"]]) for row in csv.DictReader(file)}
    for mix in found.values():
        if not {mix.base, mix.more} <= set(SCHEMES) or mix.layers not in (ALL, MORE_BITS):
            raise ValueError(f"engine_mixes.csv: {mix}")
    return found


def mixes_of(engine: str) -> list[str]:
    """The names of an engine's mixtures."""
    return [name for name, mix in engine_mixes().items() if mix.engine == engine]
