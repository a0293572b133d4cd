"""Layouts that engines take, against what their sources say, written down a second time here."""

from itertools import product
from pathlib import Path

import pytest

from planner.hardware.catalog import device_ids
from planner.lookup import load_device
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.placement.layout import Layout
from planner.planning.engines import layouts as engine_layouts
from planner.planning.engines.layouts import (
    AXES,
    TAKES,
    all_layout_rules,
    layout_refusal,
    layout_rules,
)

ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "pytorch", "mlx")


def taken(name: str, layout: Layout) -> bool:
    """Whether the rules of the engine let ``layout`` pass."""
    engine = parse_engine(name)
    home = "apple-m4-max" if name == "mlx" else "h100-sxm"
    return layout_refusal(engine, layout_rules(engine, load_device(home)), layout) is None


def wanted(name: str, layout: Layout) -> bool:
    """vLLM spreads experts over every rank or none, SGLang and TensorRT-LLM over any divisor;
    TensorRT-LLM's attention is parallel in one way at a time; llama.cpp splits layers alone."""
    whole = layout.ep in (1, layout.tp * layout.dp)
    return {
        "vllm": whole,
        "sglang": True,
        "tensorrt-llm": layout.dp == 1 or layout.tp == 1,
        "llama.cpp": layout.tp == layout.dp == layout.ep == 1,
        "pytorch": whole and layout.dp == 1,
        "mlx": layout == Layout(),
    }[name]


@pytest.mark.parametrize("name", ENGINES)
def test_layouts_are_taken_as_the_sources_say(name: str) -> None:
    for tp, dp, pp in product((1, 2, 3, 4), (1, 2, 4), (1, 3)):
        for ep in (n for n in range(1, tp * dp + 1) if tp * dp % n == 0):
            layout = Layout(tp, dp, pp, ep)
            assert taken(name, layout) == wanted(name, layout), layout


def test_every_engine_has_a_rule_for_every_axis_on_every_device() -> None:
    assert set(ENGINES) <= set(engine_names())
    for name, device in product(engine_names(), device_ids()):
        assert set(layout_rules(parse_engine(name), load_device(device))) == set(AXES)
    for rule in all_layout_rules():
        assert rule.takes in TAKES
        assert rule.cell.note
        assert rule.cell.source is not None


def test_every_engine_takes_one_device() -> None:
    assert all(taken(name, Layout()) for name in ENGINES)


def test_without_a_rule_nothing_is_taken_to_be_known() -> None:
    engine = parse_engine("vllm")
    rules = layout_rules(engine, load_device("h100-sxm"))
    del rules["pp"]
    assert layout_refusal(engine, rules, Layout(tp=2)) is None
    against = layout_refusal(engine, rules, Layout(tp=2, pp=2))
    assert against is not None
    assert against.status == "unknown"
    assert "no source says that vllm takes pp above 1" in against.reason


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",ep,one-or-all,", ",ep,some,"),
        (",dp,alone,", ",width,alone,"),
        (",vllm-28889", ",nowhere"),
    ],
)
def test_a_row_that_says_nothing_known_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    text = (engine_layouts.DATA / "engine_layouts.csv").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "engine_layouts.csv").write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(engine_layouts, "DATA", tmp_path)
    with pytest.raises(ValueError, match=r"engine_layouts\.csv"):
        all_layout_rules.__wrapped__()
