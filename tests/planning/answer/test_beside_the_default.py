"""A plan beside an engine's own mixture, and which experts are in host memory."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.messages.message import message
from planner.messages.words import in_language
from planner.planning.answer import compare, offload


def told(rate: float, held: float, loss: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plan on two devices: tokens/s of a device, bytes and loss in those of the default."""
    monkeypatch.setattr(compare, "default_mixture", lambda _: "Q4_K_M")
    monkeypatch.setattr(compare, "saturated_loss", lambda _, value: value)
    priced = SimpleNamespace(
        layout=SimpleNamespace(ranks=2),
        loss=0.02 * loss,
        tokens_per_second=lambda _: 2 * 50.0 * rate,
        fullest=SimpleNamespace(total=8e9 * held),
    )
    choice: Any = SimpleNamespace(
        option=SimpleNamespace(
            priced=priced,
            space=SimpleNamespace(
                model=SimpleNamespace(question=SimpleNamespace(engine="llama.cpp"))
            ),
        )
    )
    line: Any = SimpleNamespace(
        name="llama.cpp default",
        feasible=True,
        loss=0.02,
        output_tokens_per_second_per_device=50.0,
        total_bytes_per_device=8e9,
    )
    first = message("reasons.no_other_uniform_plan_fits")
    text = compare.against_default(choice, [line], first)
    assert compare.against_default(choice, [], first) == first
    assert in_language(text, "zh") == in_language(text, "zh")
    return text


@pytest.mark.parametrize(
    ("rate", "held", "loss", "words"),
    [
        (2.0, 0.5, 0.5, "100.0% more tokens/s, 50.0% less memory, loss 0.01 for 0.02: beats it"),
        (
            0.5,
            1.5,
            2.0,
            "50.0% fewer tokens/s, 50.0% more memory, loss 0.04 for 0.02: does not beat",
        ),
        (1.0, 1.0, 1.0, "0.0% more tokens/s, 0.0% less memory, loss 0.02 for 0.02: is as good"),
        (1.2, 1.0, 2.0, "20.0% more tokens/s, 0.0% less memory, loss 0.04 for 0.02: neither beats"),
    ],
)
def test_gains_are_relative_to_the_default(
    rate: float, held: float, loss: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in told(rate, held, loss, monkeypatch)


@pytest.mark.parametrize(
    ("kinds", "by_experts", "there"),
    [
        (("mlp-gate-up",), False, 0),
        (("mlp-gate-up",), True, 0),
        (("experts-gate-up", "experts-down"), True, 3 * (64 - 16)),
        (("experts-gate-up", "experts-down"), False, 2 * 64),
    ],
)
def test_experts_in_host_memory_are_those_that_are_offloaded(
    kinds: tuple[str, ...], by_experts: bool, there: int
) -> None:
    """64 experts in layers 1, 2 and 3; layers 0, 1 and 2 are there, or all but 16 of each."""
    experts = SimpleNamespace(layers=(1, 2, 3), count=64)
    model: Any = SimpleNamespace(question=SimpleNamespace(spec=SimpleNamespace(experts=experts)))
    one: Any = SimpleNamespace(kinds=kinds, by_experts=by_experts, resident=16, layers=(0, 1, 2))
    assert offload._experts_there(model, one) == there
