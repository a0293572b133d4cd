"""The recommendation in a plan file: verdict, gain, alternatives, the plan that is printed."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.choices import choice_of, experts, llama

import planner
from planner.cli.main import cli
from planner.cli.overview import SECTIONS
from planner.lab.measuring.measure import Measurement
from planner.lab.measuring.request import OPERATORS
from planner.planning.answer.compare import comparison
from planner.planning.answer.next_measurements import command_of
from planner.planning.answer.recommend import (
    gain_range,
    nearest_rival,
    recommendation,
    rejected_because,
    verdict_kind,
)
from planner.planning.choose.rule import SURE
from planner.planning.choose.selection import Selection
from planner.planning.choose.uncertainty import score
from planner.planning.plan.record import Plan
from planner.planning.price.price import price
from planner.planning.search.rivals import rival_of, shown_schemes

DENSE = ("llama-3.1-8b", "h100-sxm")


@pytest.fixture(scope="module")
def dense() -> Plan:
    return planner.plan(*DENSE, devices=1, engine="vllm")


def test_the_plan_is_the_recommended_one(dense: Plan) -> None:
    told, option = dense.recommendation, llama().option
    assert told is not None
    assert (told.verdict, told.formats) == (verdict_kind(option.rival), option.rival.formats)
    assert told.verdict == "recipe"
    assert told.recipe is not None
    assert told.recipe.source
    assert (told.recipe.probability_better, told.recipe.gain, told.recipe.why_not) == (
        None,
        None,
        "",
    )
    assert told.recipe.tpot_seconds == pytest.approx(option.priced.tpot)
    schemes = {u.scheme for u in dense.units if u.kind in ("mlp-down", "attention-qkv")}
    assert schemes == set(option.rival.schemes)
    assert dense.workload.batch == option.priced.batch
    assert told.checkpoint == option.weights.checkpoint
    assert dense.performance.tpot_seconds.value == pytest.approx(option.priced.tpot)


def test_the_solver_tells_the_proof_of_the_optimum(dense: Plan) -> None:
    exact = llama().exact
    served = price(exact.space, exact.candidate, exact.segments)
    loop = score(exact.space.model.question, served)
    assert dense.solver.bound == pytest.approx(exact.bound * loop / exact.value, rel=1e-6)
    assert dense.solver.candidates == exact.candidates
    assert dense.solver.proved


def test_gains_of_others_are_calibrated(dense: Plan) -> None:
    """What the prices say has the sign of what measured pairs make of it, and is more."""
    told, choice = dense.recommendation, llama()
    assert told is not None
    own = dense.performance.output_tokens_per_second_per_device.value
    others = [i for i in range(len(choice.options)) if i != choice.taken]
    assert any(one.gain is not None and one.gain.value > 0 for one in told.alternatives)
    for i, one in zip(others, told.alternatives, strict=True):
        assert one.gain == gain_range(choice, i, choice.taken)
        assert one.gain.low <= one.gain.value <= one.gain.high
        priced = one.output_tokens_per_second / one.devices / own - 1
        assert min(0.0, priced) - 1e-3 <= one.gain.value <= max(0.0, priced) + 1e-3
        assert one.probability_better is not None
        if choice.options[i].same_as(choice.option):
            assert (one.gain.value, one.probability_better) == (0.0, 0.5)
            continue
        assert (one.gain.value > 0) == (priced > 0) == (one.probability_better > 0.5)
        assert (one.gain.low > 0) == (one.probability_better > 0.9)
        assert (one.gain.high < 0) == (one.probability_better < 0.1)


def test_all_others_stand_beside_it(dense: Plan) -> None:
    told, choice = dense.recommendation, llama()
    assert told is not None
    names = [one.name for one in told.alternatives]
    assert len(names) == len(choice.options) - 1
    assert {
        "published checkpoint",
        "published checkpoint, KV fp8",
        "vllm default",
        "exact optimum",
    } <= set(names)
    others = [i for i in range(len(choice.options)) if i != choice.taken]
    for i, one in zip(others, told.alternatives, strict=True):
        assert one.probability_better is not None
        assert 0 <= one.probability_better <= 1
        assert one.why_not
        assert one.output_tokens_per_second > 0
        option = choice.options[i]
        assert (one.engine, one.layout) == ("vllm", "tp1")
        assert one.engine_version == option.space.model.question.engine_version
        assert one.evidence.level == option.level
    by_name = {one.name: one for one in told.alternatives}
    assert by_name["published checkpoint"].why_not == "the same plan"
    lacking = choice.lacking(choice.optimum)
    assert lacking is not None
    least, chance, sure = lacking
    wanted = f", {100 * sure:.0f} % wanted" if chance >= SURE else ""
    assert by_name["exact optimum"].why_not.endswith(
        f", P(gain ≥ {100 * least:.0f} %) = {100 * chance:.0f} %{wanted}"
    )
    assert "needs requantizing" in by_name["exact optimum"].why_not


def test_the_gain_is_over_what_is_released() -> None:
    kept, changed = llama(), llama(objective="latency")
    told = recommendation(kept, ())
    assert told.gain is not None
    assert (told.gain.value, told.gain.low, told.gain.high) == (0.0, 0.0, 0.0)
    assert told.probability is None, "nothing is simpler"
    told = recommendation(changed, ())
    assert told.verdict == "uniform"
    assert told.gain is not None
    assert told.released is not None
    assert told.released.gain is not None
    ratio = told.released.tpot_seconds / changed.option.priced.tpot
    assert 0 < told.gain.value < 1 - 1 / ratio, "as much as measured pairs say, of less time"
    assert told.gain.low < told.gain.value < told.gain.high
    assert told.released.gain.value < 0 < -told.released.gain.low
    assert told.probability is not None
    assert 0.5 < told.probability < 0.8, "over a cache of 8 bits, which is simpler"
    assert told.released.probability_better is not None
    assert told.released.probability_better < 0.2, "what displaced it is surely better"
    assert "slower" in told.released.why_not


@pytest.mark.exhaustive
def test_a_mix_is_counted_alike_in_its_name_its_row_and_the_verdict() -> None:
    found = planner.plan("glm-4.5-air", "b300-sxm", engine="sglang")
    assert found.recommendation is not None
    mixes = [one for one in found.recommendation.alternatives if one.name[:1].isdigit()]
    assert mixes
    for one in mixes:
        assert one.name == f"{len(one.schemes)} formats"
        assert f"{one.name}: {one.schemes[0]}" in str(found)
    assert re.findall(r"Another mix of (\d+ formats)", found.recommendation.text) == [mixes[0].name]


def test_a_file_keeps_it(dense: Plan) -> None:
    assert planner.read_plan(dense.to_dict()).recommendation == dense.recommendation


def test_exact_is_the_optimum_and_says_so() -> None:
    found = planner.plan(*DENSE, devices=1, engine="vllm", exact=True)
    told = found.recommendation
    assert told is not None
    assert "--exact" in told.text
    rate = found.performance.output_tokens_per_second_per_device.value
    assert 1 / rate == pytest.approx(found.solver.bound, rel=1e-5)
    assert any(a.key == "asked" and "exact" in a.value.split("; ") for a in found.assumptions)


@pytest.mark.exhaustive
def test_what_would_decide_is_told_with_its_command() -> None:
    found = planner.plan("qwen3-30b-a3b", "l40s", devices=4, engine="vllm").recommendation
    assert found is not None
    assert 1 <= len(found.measure_next) <= 3
    for item in found.measure_next:
        assert any(item.command.split()[1] in part for _, part in SECTIONS)
        assert 0 < item.swing <= 1
        assert item.shape
    assert found.lossier is not None
    assert found.lossier.output_tokens_per_second > 0


@pytest.mark.parametrize(
    ("operator", "device", "engine", "command"),
    [
        ("gemm", "host", "llama.cpp", "plan measure --only gemm --engine-dir DIR -o measured-gemm"),
        ("gemm", "host", "vllm", "plan measure --only gemm -o measured-gemm"),
        (
            "attention decode",
            "xeon-platinum-8480",
            "llama.cpp",
            "plan measure --only attention --engine-dir DIR  # on xeon-platinum-8480",
        ),
        ("elementwise", "host", "llama.cpp", "plan measure --only bandwidth -o measured-bandwidth"),
        ("moe", "host", "llama.cpp", "plan calibrate TABLES"),
        ("gemm", "l40s", "llama.cpp", "plan calibrate TABLES"),
        ("collective", "xeon-6980p", "any", "plan calibrate TABLES"),
    ],
)
def test_each_operator_has_a_command_that_measures_it(
    operator: str,
    device: str,
    engine: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert command_of(operator, planner.load_device(device), engine) == command
    assert len(command) <= 78
    words = shlex.split(command, comments=True)
    assert words[1] in cli.commands
    if words[1] == "measure":  # the command itself is run, with the folder in the place of DIR
        asked: dict[str, object] = {}

        def measure(output: str, **given: object) -> Measurement:
            asked.update(given, output=output)
            return Measurement(tmp_path, (), (), (), (), 0.0)

        monkeypatch.setattr(planner, "measure", measure)
        invoked = CliRunner().invoke(cli, words[1:])
        assert invoked.exit_code == 0, invoked.output
        assert set(asked["only"]) <= set(OPERATORS)
        assert (asked["engine_dir"] == "DIR") == ("DIR" in words)
        assert asked["output"] == (f"measured-{words[3]}" if device == "host" else "measured")


def test_embedding_and_head_count_where_they_are_decided() -> None:
    """llama.cpp's Q5_0 has its embedding and head in Q8_0: two formats, and no uniform plan."""
    choice = choice_of("smollm2-135m", "xeon-6980p", engine="llama.cpp")
    options = {one.rival.name: one for one in choice.options}
    mixture = options["Q5_0, KV fp16"]
    assert mixture.rival.schemes == ("ggml-q5_0",)
    assert shown_schemes(mixture.rival) == ("ggml-q5_0", "ggml-q8_0")
    assert verdict_kind(mixture.rival) == "mix"
    assert verdict_kind(options["Q8_0, KV fp16"].rival) == "uniform"
    told = recommendation(choice, ())
    for other in told.alternatives:
        assert other.formats <= len(other.schemes)
        assert (
            other.name.partition(" format")[0] == str(len(other.schemes))
            or "format" not in other.name
        )
    for one in choice.options:
        model = one.space.model
        ends = {
            model.choices[s.choice]
            for s in one.rival.result.segments
            if s.choice >= 0 and model.units[s.unit].kind in ("embedding", "head")
        }
        assert ends - {"bf16"} <= set(shown_schemes(one.rival))


def test_a_head_alone_makes_a_mix() -> None:
    """Linears as released beside a quantised head: one new format, and two to tell."""
    choice = choice_of("smollm2-135m", "xeon-6980p", engine="llama.cpp")
    base = next(one for one in choice.options if one.rival.kind == "released").rival
    model = base.result.space.model
    q8 = model.choices.index("ggml-q8_0")
    segments = tuple(
        replace(s, choice=q8) if model.units[s.unit].kind in ("embedding", "head") else s
        for s in base.result.segments
    )
    made = rival_of("1 format", "formats", replace(base.result, segments=segments))
    assert (made.formats, made.schemes) == (1, ("bf16",))
    option = replace(choice.option, rival=made)
    assert verdict_kind(option.rival) == "mix"
    assert shown_schemes(made) == ("bf16", "ggml-q8_0")
    text = recommendation(replace(choice, options=(option, *choice.options[1:]), taken=0), ()).text
    assert text.startswith("Serve a mix of bf16 and ggml-q8_0")


def test_an_option_gains_nothing_over_itself_and_signs_turn() -> None:
    choice = llama()
    same = gain_range(choice, choice.taken, choice.taken)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    best = choice.optimum
    forth, back = gain_range(choice, best, choice.taken), gain_range(choice, choice.taken, best)
    assert back.value < 0 < forth.value
    for one, other in ((forth.value, back.value), (forth.low, back.high), (forth.high, back.low)):
        assert (1 + one) * (1 + other) == pytest.approx(1, rel=1e-3)


def test_the_nearest_rival_is_at_least_as_likely_better_as_not() -> None:
    for choice in (llama(), experts()):
        near = nearest_rival(choice)
        if near is not None:
            assert choice.better[near, choice.taken] >= 0.5


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("model", "device", "devices"),
    [
        ("deepseek-v3", "h200-sxm", 8),
        ("deepseek-v3", "h100-sxm", 16),
        ("deepseek-v3", "b200-sxm", 8),
        ("llama-3.1-70b", "h100-sxm", 2),
        ("llama-3.1-8b", "h100-sxm", 1),
        ("qwen3-235b-a22b", "h200-sxm", 8),
        ("qwen3-30b-a3b", "l40s", 4),
        ("llama-3.1-70b", "a100-sxm", 4),
    ],
)
def test_no_gain_is_told_against_a_rival_that_was_kept_out_by_a_hair(
    model: str, device: str, devices: int
) -> None:
    """These printed gains of 14 to 45 % over uniform plans: the plan ÷ the best uniform 8-bit plan
    inside the band of the loss was 0.97 to 1.11."""
    choice = choice_of(model, device, devices=devices, engine="vllm")
    assert comparison(choice).gain <= 0.12
    rivals = [
        one.weighed.value for one in choice.options if one.rival.kind in ("released", "uniform")
    ]
    assert min(rivals) / choice.option.weighed.value <= 1.12


@pytest.mark.parametrize("make", [llama, experts])
def test_a_plan_that_changes_as_much_is_not_said_to_change_more(
    make: Callable[[], Selection],
) -> None:
    choice = make()
    mine, as_much = choice.option.simple, 0
    for i, one in enumerate(choice.options):
        alike = one.simple.order[:2] == mine.order[:2]
        more = alike and one.simple.changed > mine.changed
        assert ("changes more" in rejected_because(choice, i)) <= more
        as_much += alike and one.simple.changed == mine.changed
    assert as_much > 1
