"""A vision encoder is held by the first pipeline stage, as released."""

from planner.formats.schemes import scheme
from planner.memory.resident import Loading, rank_weights, total
from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory
from planner.placement.layout import Layout


def test_the_first_stage_holds_it_as_released() -> None:
    spec = resolve_model("gemma-4-26b-a4b")
    stored = sum(p.bytes for p in Inventory(spec).patterns if p.part == "vision")
    loading = Loading(parts=("vision",))
    for format_of in (lambda kind, layer: None, lambda kind, layer: scheme("fp8-block").weight):
        held = [
            total(rank_weights(spec, Layout(pp=3), loading, format_of, stage)) for stage in range(3)
        ]
        assert held == [stored, 0, 0]
