"""Tokens that a replica holds: of a token's bytes, or of whole requests where layers differ."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.planning.answer import capacity


@pytest.mark.parametrize(("even", "tokens"), [(True, 2 * 300), (False, 2 * 240)])
def test_the_fullest_stage_sets_the_tokens_of_every_rank(
    even: bool, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 bytes free on one stage and 600 on the other; a token takes 2 bytes, a request of 40
    tokens 60 and 40 of caches that do not grow alike; two ranks of attention."""
    monkeypatch.setattr(capacity, "grows_alike", lambda _: even)
    question: Any = SimpleNamespace(usable_bytes=2000, workload=SimpleNamespace(cached_tokens=40))
    stages = [
        SimpleNamespace(weights=weights, activation=300, runtime=100) for weights in (600, 1000)
    ]
    cached = SimpleNamespace(token=2, each=(60, 40))
    priced: Any = SimpleNamespace(
        stages=stages, caches=[cached, cached], layout=SimpleNamespace(dp=2)
    )
    assert capacity._capacity_tokens(question, priced) == tokens
    over = SimpleNamespace(weights=3000, activation=300, runtime=100)
    priced.stages = [over, over]
    assert capacity._capacity_tokens(question, priced) == 0
