"""The best plan that any engine serves; what is named picks those that serve it."""

import pytest

import planner
from planner.base.errors import UnsupportedError
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.memory.engines.catalog import Engine, engine_names
from planner.planning.question.engine_choice import KEY, NamedByUser, ways_to_serve
from planner.planning.question.question import Question
from tests.support import theory

SMALL = ("qwen2.5-0.5b", "h100-sxm")


@pytest.mark.exhaustive
def test_the_best_of_all_engines_is_taken() -> None:
    asked = {"devices": 1, "context": 2048, "exact": True}
    found = planner.plan(*SMALL, **asked)
    assert found.engine.name in engine_names()
    assert len(found.engine.chosen_from) > 1
    best = 0.0
    for label in found.engine.chosen_from:
        one = planner.plan(*SMALL, engine=label.replace(" ", "@"), **asked)
        assert one.engine.chosen_from == ()
        best = max(best, one.performance.output_tokens_per_second_per_device.value)
    mine = found.performance.output_tokens_per_second_per_device.value
    assert mine == pytest.approx(best, rel=1e-9)


def test_a_scheme_picks_the_engines_that_serve_it() -> None:
    found = planner.plan(
        "qwen2.5-0.5b", "xeon-6980p", devices=1, context=2048, schemes=["bf16", "ggml-q8_0"]
    )
    assert found.engine.name == "llama.cpp"
    assert found.engine.chosen_from == ("llama.cpp",)
    told = next(a.reason for a in found.assumptions if a.key == KEY)
    assert "the only engine that serves it here" in told
    assert "vllm 0.33.0" in told


def test_what_no_engine_serves_is_refused_with_each_reason() -> None:
    with pytest.raises(UnsupportedError) as caught:
        planner.plan(*SMALL, devices=1, context=2048, kv="int4-token")
    for name in set(engine_names()) - {"mlx"}:  # that of Apple's chips alone
        assert name in caught.value.message
    assert "mlx" not in caught.value.message
    assert "--engine any" in caught.value.hint


@pytest.mark.exhaustive
def test_theory_is_asked_for_by_name() -> None:
    found = theory.plan(*SMALL, devices=1, context=2048)
    assert (found.engine.name, found.engine.chosen_from) == ("any", ())


def test_a_model_that_no_engine_serves_is_planned_in_theory_with_the_reasons() -> None:
    """An engine that serves nothing stands for a device that none knows."""

    def build(engine: Engine | None) -> Question:
        question = theory.ask(*SMALL, devices=1).question(engine=engine)
        return question if engine is None else _nowhere(question)

    (question,) = ways_to_serve(build, "auto", NamedByUser())
    assert question.engine == "any"
    key, value, reason = question.notes[0]
    assert (key, value) == (KEY, "any: theory")
    assert all(name in reason for name in engine_names())
    with pytest.raises(UnsupportedError, match="no engine serves what is named"):
        ways_to_serve(build, "auto", NamedByUser(kv=True))


def _nowhere(question: Question) -> Question:
    raise UnsupportedError(f"{question.engine} {question.engine_version}: unknown: no source")


@pytest.mark.exhaustive
def test_a_given_plan_keeps_its_engine() -> None:
    made = planner.plan(*SMALL, devices=1, context=2048, engine="sglang")
    assert planner.estimate(plan=made).engine.name == "sglang"
    free = theory.plan(*SMALL, devices=1, context=2048)
    assert planner.estimate(plan=free).engine.name == "any"


def test_an_engine_that_is_unknown_on_a_device_is_not_chosen() -> None:
    device: DeviceProfile = load_device("jetson-agx-orin-64gb")
    found = planner.plan("qwen2.5-0.5b", device, context=2048)
    assert all("tensorrt-llm" not in label for label in found.engine.chosen_from)
    told = next(a.reason for a in found.assumptions if a.key == KEY)
    assert "not tensorrt-llm 1.2.1: " in told
    assert "unknown: Jetson" in told
