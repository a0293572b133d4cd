"""Layouts of published rows: the words of tables, and what a submitter chooses where none is named.

``DEPn``: attention data parallel and experts parallel over n ranks; ``TEPn``: attention tensor
parallel, experts parallel; ``EPn`` alone is as DEPn. A row without words holds several replicas:
every layout that is legal within a fast domain is priced and the fastest counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.cells import MOST_DEVICES, whole
from planner.lab.validation.parallelism import Shape, deployment
from planner.lab.validation.records import NotCoveredError
from planner.lab.validation.served import with_spare_experts
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, divisors, layout_problem

_WORD = re.compile(r"(?<![A-Za-z])(DEP|TEP|DTP|ADP|TP|PP|DP|EP)[ =_]?(\d+)", re.IGNORECASE)


def stated_shape(text: str, spec: ModelSpec) -> Shape | None:
    """The ranks that ``text`` names, None where it names none.

    Raises:
        NotCoveredError: ranks that are 0 or beyond any deployment.
    """
    if "/" in text and (found := deployment(text)) is not None:
        return _checked(found.decode)
    words = {name.upper(): whole(number) for name, number in _WORD.findall(text)}
    if not words:
        return None
    if any(not 1 <= number <= MOST_DEVICES for number in words.values()):
        raise NotCoveredError("not legal")
    pp, experts = words.get("PP", 1), spec.experts is not None
    n = words.get("DEP", words.get("TEP", words.get("DTP", 0)))
    if n and not experts:
        return Shape(n, pp, 1, 0, 0)
    if n:
        return (
            Shape(n, pp, 1, 1, n)
            if "TEP" in words
            else Shape(1, pp, n, 1, n)
            if "DEP" in words
            else Shape(1, pp, n, n, 1)
        )
    tp, dp = words.get("TP", 1), words.get("ADP", words.get("DP", 1))
    ep = words.get("EP", 0)
    if not experts:
        return Shape(tp, pp, 1, 0, 0)
    if ep and tp * dp == 1:
        return Shape(1, pp, ep, 1, ep)
    return Shape(tp, pp, dp, tp * dp // ep if ep and tp * dp % ep == 0 else 0, ep)


def _checked(shape: Shape) -> Shape:
    if shape.ranks > MOST_DEVICES or max(shape.moe_tp, shape.moe_ep) > MOST_DEVICES:
        raise NotCoveredError("not legal")
    return shape


def possible_shapes(spec: ModelSpec, device: DeviceProfile, count: int) -> Iterator[Shape]:
    """Layouts of one replica that divide ``count`` devices, inside one fast domain or node, and
    hold ``spec`` by the rules of engines; the narrowest first."""
    reach = min(count, max(device.scale_up_devices, device.devices_per_node))
    for ranks in divisors(count):
        if ranks > reach:
            return
        shapes = [Shape(ranks, 1, 1, 0, 0)]
        if spec.experts is not None and ranks > 1:
            shapes = [
                Shape(ranks, 1, 1, ranks, 1),
                Shape(ranks, 1, 1, 1, ranks),
                Shape(1, 1, ranks, 1, ranks),
            ]
        for shape in shapes:
            ep = shape.moe_ep or 1
            layout = Layout(shape.tp, shape.dp, shape.pp, ep)
            if not layout_problem(with_spare_experts(spec, ep), layout):
                yield shape


def words(shape: Shape, replicas: int) -> str:
    """The layout in the tables' words, e.g. ``4 × TP2``."""
    parts = [f"TP{shape.tp}"] if shape.tp > 1 or shape.dp == 1 else []
    parts += [f"DP{shape.dp}"] if shape.dp > 1 else []
    parts += [f"PP{shape.pp}"] if shape.pp > 1 else []
    parts += [f"EP{shape.moe_ep}"] if shape.moe_ep > 1 else []
    return f"{replicas} × {'/'.join(parts)}"
