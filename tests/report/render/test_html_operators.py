"""FLOP and bytes on the roofline against counts by hand; what the chart and the bars add up to."""

import json
import re
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import pytest

import planner
from planner.api.report import report_extras
from planner.planning.inspect.roofline import Operator, Operators
from planner.planning.inspect.waterfall import waterfall
from planner.planning.plan.record import Baseline, Plan
from planner.report.charts.reach_svg import reach_svg
from planner.report.charts.roofline_svg import operator_numbers, roofline_svg
from planner.report.charts.svg import Labels
from planner.report.phrases import LANGUAGES, phrases
from planner.report.render.html import page
from planner.report.view.figures import rivals


@cache
def llama() -> Plan:
    return planner.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="bf16", context=4096, batch=16, devices=1, engine="vllm"
    )


@cache
def deepseek() -> Plan:
    return planner.estimate(
        "deepseek-v3",
        "h200-sxm",
        scheme="fp8-block",
        context=4096,
        tp=8,
        ep=8,
        batch=64,
        kv="int8-token",
        engine="any",
    )


def operators(plan: Plan) -> Operators:
    made = report_extras(plan).computed
    assert made is not None
    assert made.operators is not None, made.reasons
    return made.operators


def found(plan: Plan, kind: str, phase: str) -> Operator:
    return next(o for o in operators(plan).points if (o.kind, o.phase) == (kind, phase))


def test_a_dense_product_is_counted_by_hand() -> None:
    hidden, width, layers, batch = 4096, 14336, 32, 16
    one = found(llama(), "mlp-gate-up", "decode")
    assert one.flop == pytest.approx(2 * batch * hidden * 2 * width * layers)
    weights = 2 * hidden * 2 * width * layers
    assert one.moved_bytes == pytest.approx(weights + 2 * batch * (hidden + 2 * width) * layers)
    prompt = found(llama(), "mlp-gate-up", "prefill")
    assert prompt.flop == pytest.approx(one.flop / batch * llama().workload.isl)


def test_attention_reads_the_cache_once() -> None:
    one = found(llama(), "kv-k", "decode")
    work = llama().workload
    length = work.isl + work.osl / 2
    assert one.moved_bytes == pytest.approx(16 * length * 32 * 8 * 128 * 2)
    assert one.flop == pytest.approx(2 * 16 * length * 32 * 32 * 128)


@pytest.mark.exhaustive
def test_a_narrow_cache_is_counted_in_its_own_bytes() -> None:
    one, work = found(deepseek(), "kv-latent", "decode"), deepseek().workload
    layer = deepseek().kv_cache.layers[0].bytes_per_token
    assert one.moved_bytes == pytest.approx(64 * (work.isl + work.osl / 2) * 61 * layer)


def test_experts_count_the_tokens_that_reach_a_rank() -> None:
    one = found(deepseek(), "experts-down", "decode")
    assert one.flop <= 2 * 64 * 8 * 7168 * 2048 * 58
    assert one.flop >= 2 * 64 * 8 * 7168 * 2048 * 58 / 8


@pytest.mark.parametrize("plan", [llama, deepseek], ids=["llama", "deepseek"])
def test_times_are_the_plans_and_no_operator_is_above_its_roof(plan: object) -> None:
    assert callable(plan)
    made: Plan = plan()
    counted = operators(made)
    for phase in ("decode", "prefill"):
        placed = [o for o in counted.points if o.phase == phase]
        total = sum(
            getattr(u, f"{phase}_seconds") for u in made.units if u.kind not in counted.unplaced
        )
        assert sum(o.seconds for o in placed) == pytest.approx(total)
    assert all(0 < counted.share_of_roof(o) <= 1 for o in counted.points)
    assert {"norm", "embedding"} <= set(counted.unplaced)


def test_another_model_or_device_is_not_drawn() -> None:
    plan = llama()
    for changed in (
        replace(plan, model=replace(plan.model, config_sha256="0" * 64)),
        replace(plan, device=replace(plan.device, profile_sha256="0" * 64)),
    ):
        told = report_extras(changed)
        assert told.computed is not None
        assert told.computed.operators is None
        assert "has changed" in told.computed.why_not("operators")
        assert told.computed.why_not("operators") in page(changed, extras=told)
    unknown = report_extras(
        replace(plan, device=replace(plan.device, id="no-such-device"))
    ).computed
    assert unknown is not None
    assert "no-such-device" in unknown.why_not("room")


@pytest.mark.sample(1)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_drawing_is_one_well_formed_element_with_every_operator(lang: str) -> None:
    counted = operators(deepseek())
    root = ElementTree.fromstring(roofline_svg(phrases(lang), counted))
    assert root.tag == "svg"
    assert len(list(root.iter("circle"))) == sum(o.phase == "decode" for o in counted.points)
    boxes = list(root.iter("rect"))
    assert len(boxes) == sum(o.phase == "prefill" for o in counted.points)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    for mark in root.iter("circle"):
        assert 0 < float(mark.attrib["cx"]) < width
        assert 0 < float(mark.attrib["cy"]) < height
    assert len(operator_numbers(counted)) == len({(o.kind, o.scheme) for o in counted.points})


def test_hostile_names_stay_text_in_the_drawing() -> None:
    evil = '"><script>x</script>&'
    one = Operator(evil, evil, "decode", 1e9, 1e8, 1e-3, 1e15)
    text = roofline_svg(phrases("en"), Operators(1e12, ((evil, 1e15),), (one,), ()))
    root = ElementTree.fromstring(text)
    assert "script" not in {e.tag for e in root.iter()}
    assert evil in "".join(root.itertext())


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_bars_follow_each_other_and_add_up(phase: str) -> None:
    shown, at = waterfall(deepseek(), phase), 0.0
    for bar in shown.bars:
        assert bar.start == pytest.approx(at)
        at += bar.share
    assert sum(b.of_step for b in shown.bars) == pytest.approx(1)
    assert shown.sum_seconds + shown.rest.seconds == pytest.approx(shown.end_seconds)
    assert 0 <= shown.rest.start <= shown.rest.start + shown.rest.share <= 1 + 1e-9


@pytest.mark.sample(1)
@pytest.mark.parametrize("objective", ["throughput", "latency", "memory", "quality", "cost"])
def test_rivals_are_the_feasible_baselines(objective: str) -> None:
    """Those that come to the same share a bar."""
    made = planner.plan("llama-3.1-8b", "h100-sxm", context=4096, devices=1, batch=8)
    bars = rivals(phrases("en"), replace(made, objective=objective))
    names = [name for b in bars if not b.own for name in b.name.split(" = ")]
    assert sorted(names) == sorted(b.name for b in made.baselines if b.feasible)
    assert len(bars) < len(names)
    assert max(b.length for b in bars) == 1
    assert bars[0].own


@pytest.mark.exhaustive
def test_the_page_with_figures_is_small_and_the_same_twice() -> None:
    text = page(deepseek(), extras=report_extras(deepseek()))
    again = planner.read_plan(json.loads(json.dumps(deepseek().to_dict())))
    assert text == page(again, extras=report_extras(again))
    assert len(text.encode()) < 400_000
    assert len(re.findall("<svg", text)) == 3


def test_labels_keep_off_marks_and_each_other() -> None:
    label = Labels(760.0)
    label.block(195.0, 104.0, 10.0)
    found = [
        label(100.0, 100.0, "a long label beside a mark"),
        label(101.0, 101.0, "another"),
        label(700.0, 300.0, "no room at the right"),
    ]
    places = [
        (float(e.attrib["x"]), float(e.attrib["y"]), e.attrib["text-anchor"])
        for e in map(ElementTree.fromstring, found)
    ]
    assert places[0][1] >= 104 + 13
    assert places[1][1] >= places[0][1] + 13 or places[1][1] <= places[0][1] - 13
    assert places[2][2] == "end"


def test_a_loss_of_zero_has_a_place_and_names_are_cut() -> None:
    plan = llama()
    made = report_extras(plan).computed
    assert made is not None
    assert made.frontier
    lines = tuple(
        Baseline(name, True, "", 1, 8, 10**9, 0.1, 0.01, 800.0, 800.0, 0.0)
        for name in ("one", "two", "a name that is long")
    )
    root = ElementTree.fromstring(
        reach_svg(phrases("en"), replace(plan, baselines=lines), made.frontier)
    )
    texts = ["".join(e.itertext()) for e in root.iter("text")]
    assert "one · two +1" in texts
    assert "0" in texts
    width = float(root.attrib["viewBox"].split()[2])
    assert all(0 <= float(e.attrib["x"]) <= width for e in root.iter("text"))
