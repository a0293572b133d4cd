"""A scheme that was named keeps its row where it does not run."""

from planner.planning.what_if.side_by_side import uniform_rows
from tests.support import theory


def test_one_way_to_serve_is_enough_for_a_reason() -> None:
    (question,) = theory.ask(
        "qwen2.5-0.5b", "a100-sxm", devices=1, context=2048, batch=8
    ).questions()
    rows = {row.name: row for row in uniform_rows([question], named=("fp8-block",))}
    assert "fp8-block" in rows
    assert rows["fp8-block"].reason
