"""Modules whose rule is dropped: a narrower head takes less time, norms take the same in all."""

import numpy as np
from support.questions import model_of

from planner.placement.layout import Layout
from planner.planning.space.operators import norm_parts, parts_by_scheme
from planner.throughput.points import decode_phase, points

LAYOUTS = (Layout(1, 1, 1, 1), Layout(2, 1, 1, 1))
DROPPED = {
    "model": "llama-3.1-8b",
    "drop_policies": ("head", "embedding", "norm"),
    "schemes": ("bf16", "fp8-block"),
}


def test_a_head_of_half_the_bytes_is_read_in_half_the_time() -> None:
    model = model_of(**DROPPED)
    pts = points(LAYOUTS, [(0, 4), (1, 4)])
    phase = decode_phase(pts, 1000.0)
    head = next(m for m in model.planned if m.kind == "head")
    wide, narrow = (model.question.schemes.index(s) for s in ("bf16", "fp8-block"))
    found = parts_by_scheme(model, LAYOUTS, pts, phase, head)
    assert found.memory.shape == (2, len(model.question.schemes))
    assert (found.memory[:, narrow] < 0.6 * found.memory[:, wide]).all()
    assert (found.memory[1] < 0.6 * found.memory[0]).all()  # two ranks share it


def test_norms_have_one_column_and_no_format() -> None:
    model = model_of(**DROPPED)
    pts = points(LAYOUTS, [(0, 1), (0, 64)])
    phase = decode_phase(pts, 1000.0)
    for module in (m for m in model.planned if m.kind == "norm"):
        found = norm_parts(model, pts, phase, module)
        assert found.total().shape == (2, 1)
        assert np.array_equal(
            parts_by_scheme(model, LAYOUTS, pts, phase, module).total(), found.total()
        )
        assert found.total()[1, 0] >= found.total()[0, 0] > 0


def test_a_router_is_a_product_of_its_own_bytes_and_a_choice() -> None:
    model = model_of("deepseek-v2-lite", drop_policies=("router",), schemes=("bf16", "fp8-block"))
    pts = points(LAYOUTS[:1], [(0, 4)])
    router = next(m for m in model.planned if m.kind == "router")
    found = parts_by_scheme(model, LAYOUTS[:1], pts, decode_phase(pts, 1000.0), router)
    wide, narrow = (model.question.schemes.index(s) for s in ("bf16", "fp8-block"))
    assert 0 < found.memory[0, narrow] < found.memory[0, wide]
    assert found.launch[0, wide] > 0
