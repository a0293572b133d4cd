"""The least memory of a question: no assignment of any layout takes less."""

import numpy as np
from support.questions import found_of, model_of

from planner.placement.layout import Layout
from planner.planning.space.candidates import least_rank, possible_layouts


def test_it_is_what_the_plan_of_least_memory_takes() -> None:
    from planner.planning.price.price import price

    model = model_of(objective="memory", batch=1)
    least, index = least_rank(model, possible_layouts(model.question))
    assert (least is not None, index) == (True, 0)
    found = found_of(objective="memory", batch=1)
    assert least is not None
    assert least <= price(found.space, found.candidate, found.segments).fullest.total


def test_more_ranks_need_less_on_each() -> None:
    model = model_of("llama-3.1-8b", devices=8)
    layouts = [Layout(tp, 1, 1, 1) for tp in (1, 2)]
    sizes = [least_rank(model, [layout])[0] for layout in layouts]
    assert None not in sizes
    assert sizes[1] < sizes[0]  # type: ignore[operator]
    assert least_rank(model, layouts) == (sizes[1], 1)
    assert least_rank(model, layouts[::-1]) == (sizes[1], 0)


def test_without_a_legal_choice_or_a_batch_there_is_none() -> None:
    assert least_rank(model_of(), []) == (None, 0)
    odd = model_of(batch=7, devices=4)
    assert least_rank(odd, [Layout(1, 4, 1, 1)]) == (None, 0)
    assert np.iinfo(np.int64).max > least_rank(odd, [Layout(1, 1, 1, 1)])[0]  # type: ignore[operator]
