"""Sentences of a recommendation: signs, tenths, words."""

import pytest

from planner.messages.message import message
from planner.messages.words import in_language
from planner.planning.answer.recommend_text import (
    cache_text,
    chance_text,
    format_word,
    gain_text,
    in_ten,
    made_text,
    not_surely,
    serve_text,
    value_text,
    why_not,
)
from planner.planning.plan.names import uniform, with_cache
from planner.planning.plan.recommendation import GainRange

NEEDS = {
    "needs requantizing": message("reasons.needs_new_weights"),
    "has 2 formats": message("reasons.has_formats", n=2),
}


def test_formats_are_called_as_people_do() -> None:
    assert [
        format_word(s) for s in ("fp8-block", "bf16", "ggml-q4_k", "int8-token", "nvfp4-w4a16")
    ] == ["FP8", "BF16", "Q4_K", "INT8", "NVFP4"]
    assert [cache_text([w]) for w in ("FP8", "BF16", "INT8", "NVFP4", "Q8_0")] == [
        "an FP8 cache",
        "a BF16 cache",
        "an INT8 cache",
        "an NVFP4 cache",
        "a Q8_0 cache",
    ]
    assert cache_text(["BF16", "FP8", "NVFP4"]) == "a BF16, FP8 and NVFP4 cache"


def test_what_to_serve() -> None:
    rate, none = value_text("throughput", 1234.5, 0.01, 0, ""), made_text(False, "", "")
    ready, new = made_text(False, "a/b", ""), made_text(True, "", "")
    released = serve_text(0, "fp8-block", ["fp8-block"], "fp8", none, rate)
    uniform = serve_text(1, "bf16", ["fp8-channel"], "", ready, rate)
    mix = serve_text(1, "bf16", ["fp8-block", "bf16"], "bf16", new, rate)
    assert [released, uniform, mix] == [
        "Serve the released FP8 checkpoint with an FP8 cache: 1,234 tokens/s.",
        "Serve uniform fp8-channel (a/b): 1,234 tokens/s.",
        "Serve a mix of fp8-block and bf16 (new weights) with a BF16 cache: 1,234 tokens/s.",
    ]
    assert [in_language(text, "zh") for text in (released, uniform, mix)] == [
        "部署发布的 FP8 检查点，使用 FP8 缓存：每秒 1,234 个 token。",
        "部署统一 fp8-channel（a/b）：每秒 1,234 个 token。",
        "部署 fp8-block 和 bf16 的混合（新的权重），使用 BF16 缓存：每秒 1,234 个 token。",
    ]
    assert made_text(False, "", "--quantization fp8") == "made while loading: --quantization fp8"


def test_what_a_plan_gives_by_its_objective() -> None:
    values = [
        value_text(objective, 1234.5, 0.0142, 2**30, "0.00165")
        for objective in ("throughput", "cost", "latency", "memory", "quality")
    ]
    assert values == [
        "1,234 tokens/s",
        "1,234 tokens/s",
        "14.2 ms a token",
        "1.00 GiB",
        "loss 0.00165",
    ]


def test_another_plan_begins_its_sentence_with_a_capital() -> None:
    text = message(
        "recommendation.would_give",
        first="Serve it.",
        name=with_cache(uniform("fp8-block"), "fp8"),
        gain=gain_text("throughput", GainRange(0.06, 0.03, 0.09)),
        chance=chance_text("throughput", 0.7),
    )
    assert text == (
        "Serve it. Uniform fp8-block, KV fp8 would give 3.0 to 9.0 % more "
        "(7 in 10 that it is faster)."
    )
    assert in_language(text, "zh").endswith(
        "改用统一 fp8-block、KV fp8，每秒 token 数多 3.0 至 9.0 %（更快的可能性为 7/10）。"
    )


@pytest.mark.parametrize(
    ("objective", "gain", "text"),
    [
        ("throughput", (0.06, 0.03, 0.09), "3.0 to 9.0 % more"),
        ("throughput", (0.2, 0.12, 0.31), "12 to 31 % more"),
        ("throughput", (0.05, -0.13, 0.47), "about 5.0 % more"),
        ("throughput", (-0.05, -0.09, -0.03), "3.0 to 9.0 % fewer"),
        ("latency", (0.1, 0.1, 0.1), "10 % less time a token"),
        ("memory", (0.1, 0.1, 0.1), "10 % less memory"),
        ("cost", (0.1, 0.05, 0.15), "4.8 to 13 % cheaper"),
        ("cost", (-0.1, -0.1, -0.1), "11 % dearer"),
        ("latency", (-0.1, -0.1, -0.1), "10 % more time a token"),
        ("memory", (-0.1, -0.1, -0.1), "10 % more memory"),
        ("quality", (0.1, 0.1, 0.1), "10 % less loss"),
        ("quality", (-0.1, -0.2, 0.1), "about 10 % more loss"),
    ],
)
def test_gains_have_their_sign(objective: str, gain: tuple[float, float, float], text: str) -> None:
    gained = gain_text(objective, GainRange(*gain))
    assert gained == text
    assert in_language(gained, "zh") != text


def test_chances_are_told_in_tenths() -> None:
    for chance in (0.0, 0.04, 0.32, 0.949, 0.95):
        text = chance_text("memory", chance)
        assert text == f"{in_ten(chance)} that it is smaller"
    assert [in_ten(p) for p in (0.0, 0.04, 0.32, 0.74, 0.949, 0.95, 1.0)] == [
        "less than 1 in 10"
    ] * 2 + ["3 in 10", "7 in 10", "9 in 10", *["nearly sure"] * 2]


def test_why_a_plan_is_not_taken() -> None:
    def told(
        gain: float,
        chance: float,
        *needs: str,
        simpler: bool = False,
        exact: bool = False,
        objective: str = "throughput",
    ) -> str:
        reason = why_not(
            objective,
            gain=gain,
            chance=chance,
            is_simpler=simpler,
            exact=exact,
            needs=[NEEDS[need] for need in needs],
        )
        assert in_language(reason, "zh") == in_language(reason, "zh")
        return reason

    assert (
        told(0.018, 0.6, "needs requantizing") == "needs requantizing and is 1.8 % faster (6 in 10)"
    )
    assert told(-0.24, 0.01, simpler=True) == "24 % slower"
    assert told(-0.24, 0.3, "needs requantizing") == "24 % slower (7 in 10), needs requantizing"
    assert (
        told(0.0, 0.5, "needs requantizing", "has 2 formats")
        == "needs requantizing, has 2 formats and is no faster"
    )
    assert told(0.01, 0.6, simpler=True) == "another plan is surely faster"
    assert told(0.01, 0.6, simpler=True, exact=True) == "1.0 % faster (6 in 10)"
    assert told(0.1, 1.0, objective="memory") == "10 % smaller (nearly sure)"
    assert told(-0.5, 0.0, simpler=True, objective="cost") == "100 % dearer"
    assert told(1.0, 1.0, objective="cost") == "50 % cheaper (nearly sure)"


def test_a_gain_that_is_not_sure_is_told_with_its_chance_and_what_it_must_bring() -> None:
    def told(objective: str, gain: float, least: float, chance: float, *needs: str) -> str:
        reason = not_surely(objective, gain, least, chance, [NEEDS[need] for need in needs])
        assert in_language(reason, "zh") == in_language(reason, "zh") != reason
        return reason

    assert told("throughput", 0.26, 0.05, 0.6) == "26 % faster, P(gain ≥ 5 %) = 60 %"
    assert told("latency", 0.26, 0.05, 0.6) == "26 % faster, P(gain ≥ 5 %) = 60 %"
    assert told("cost", 0.25, 0.05, 0.6) == "20 % cheaper, P(gain ≥ 5 %) = 60 %"
    assert (
        told("throughput", 0.26, 0.15, 0.79, "needs requantizing", "has 2 formats")
        == "26 % faster, needs requantizing, P(gain ≥ 15 %) = 79 %"
    )


def test_a_chance_that_would_do_elsewhere_is_told_with_the_one_that_is_wanted() -> None:
    """A plan of a kind that nobody measured was not taken at 83 %, and no reason told."""
    reason = not_surely("throughput", 2.0, 0.15, 0.83, [], 0.9)
    assert reason == "200 % faster, P(gain ≥ 15 %) = 83 %, 90 % wanted"
    assert in_language(reason, "zh") == in_language(reason, "zh") != reason


def test_a_loss_that_is_far_larger_is_told_as_a_multiple() -> None:
    def told(objective: str, gain: float) -> str:
        return why_not(objective, gain=gain, chance=0.0, is_simpler=True, exact=False, needs=())

    assert told("quality", -24.25) == "25 × more lossy"
    assert told("quality", -0.25) == "25 % more lossy"
    assert told("latency", -24.0) == "2400 % slower"
