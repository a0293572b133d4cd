"""Whether a name that contains a known one means that model, or one derived from it.

``DeepSeek-R1-0528-Qwen3-8B`` contains the name of a model of 671 B, and is one of 8 B: the sizes
that a name states must be the model's, and words that name a model of its own must be known.
"""

from __future__ import annotations

import re

from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d{1,4})x)?(\d{1,5}(?:\.\d{1,3})?)([bm])(?![a-z0-9])")
_UNIT = {"b": 10**9, "m": 10**6}
_WIDTH, _LOOSE = 1.15, 1.35
"""How far a stated size may be from the counted one; loosely where it is a product (8x7B of 46.7)
or states parts that are not counted."""
OWN_MODELS = frozenset({
    "air", "distill", "draft", "eagle", "eagle3", "flash", "lite", "mini", "mtp", "nano",
    "next", "omni", "pro", "small", "tiny", "vl",
})  # fmt: skip
"""Words of a name that tell another model: not of a family, size or fine-tune of the same one."""


def stated_sizes(text: str) -> tuple[tuple[float, bool], ...]:
    """The parameters that a name states, and whether as a product: 8B, 8x7B, 135M; A3B is no
    size."""
    return tuple(
        (float(found[2]) * int(found[1] or 1) * _UNIT[found[3]], found[1] is not None)
        for found in _SIZE.finditer(text.lower())
    )


def words(text: str) -> frozenset[str]:
    """The words of a name, in lower case."""
    return frozenset(re.split(r"[^a-z0-9]+", text.lower()))


def is_of(text: str, spec: ModelSpec, known: str, *, partial: bool = False) -> bool:
    """Whether ``text`` can mean ``spec``, which a pattern ``known`` found in it; a ``partial`` spec
    lacks parts of the model."""
    own = OWN_MODELS & words(text)
    if own - words(known) - words(spec.id):
        return False
    count = Inventory(spec)
    outside = sum(row.elements for row in spec.rows if row.kind in ("embedding", "head"))
    sizes = {
        float(count.parameters_total),
        float(count.parameters_total - outside),
        *map(float, count.parameters_active.values()),
    }

    def near(stated: float, width: float) -> bool:
        return any(size / width <= stated <= size * width for size in sizes)

    return all(
        near(stated, _LOOSE if product or partial else _WIDTH)
        for stated, product in stated_sizes(text)
    )
