"""Choices between plans, made once for all tests that look at them."""

from functools import cache
from typing import Any

from planner.planning.choose.decision import decide
from planner.planning.choose.selection import Selection
from planner.planning.question.input import QuestionInput


@cache
def choice_of(model: str, device: str, *, exact: bool = False, **asked: Any) -> Selection:
    """What a question recommends."""
    decision = decide(QuestionInput(model=model, device=device, **asked).questions(), exact=exact)
    assert decision is not None
    return decision.choice


def llama(**asked: Any) -> Selection:
    """A dense model on one device, served by vLLM."""
    return choice_of("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm", **asked)


def experts(**asked: Any) -> Selection:
    """A model with experts on a node, served by vLLM."""
    return choice_of("qwen3-30b-a3b", "l40s", devices=4, engine="vllm", **asked)
