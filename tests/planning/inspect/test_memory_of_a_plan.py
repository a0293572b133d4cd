"""`memory(plan=…)` takes every cache from the plan, and refuses one that leaves a cache out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.base.errors import InputError
from planner.planning.inspect.memory import memory
from tests.support import theory


def test_a_cache_without_a_unit_is_refused_not_guessed() -> None:
    plan = theory.estimate("deepseek-v3.2", "h200-sxm", devices=16, kv="fp8-ds-mla")
    assert memory("deepseek-v3.2", "h200-sxm", plan=plan)
    units = tuple(
        replace(u, layers=u.layers[1:]) if u.kind == "kv-latent" else u for u in plan.units
    )
    with pytest.raises(InputError, match="kv-latent of layer"):
        memory("deepseek-v3.2", "h200-sxm", plan=replace(plan, units=units))
