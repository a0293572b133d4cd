"""What is outside the layers: the embedding is with the first, all else with the last."""

from support.questions import found_of, plan_of

from planner.planning.price.price import price


def test_the_embedding_alone_goes_before_the_layers() -> None:
    found = found_of()
    units = found.space.model.units
    costs = price(found.space, found.candidate, found.segments).costs
    assert {units[cost.segment.unit].kind for cost in costs if cost.embedding} == {"embedding"}
    assert {units[cost.segment.unit].kind for cost in costs} >= {"embedding", "head", "norm"}


def test_units_outside_the_layers_have_names_of_their_own() -> None:
    units = plan_of().units
    assert {u.unit for u in units if not u.layers} == {"embedding", "head", "norm.final"}
    assert "norm.final" not in {u.unit for u in units if u.layers}
