"""The ledger of evidence: counted from shipped rows, recipes and profiles, and what it answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
from support.evidence_pages import assert_stored

from benchmarks.ledger import Key, as_csv, build, class_of, minor_of
from benchmarks.ledger_page import page
from planner.formats.kv import KV_LAYOUTS
from planner.hardware.catalog import device_ids
from planner.lookup import load_device
from planner.placement.deployment_kinds import LAYOUT_CLASSES
from planner.planning.practice.recipes import recipes
from planner.planning.price import ledger as ledger_module
from planner.planning.price.evidence import served_residuals
from planner.planning.price.ledger import (
    FAMILIES,
    LEDGER,
    OPERATORS,
    RELATIVE,
    LedgerRow,
    engine_standing,
    family_of,
    ledger,
    practised_caches,
    published_formats,
    published_layouts,
)
from tests.support.wheels import ROOT

RENEW = "`python -m benchmarks.ledger` renews it"
CACHED = (engine_standing, published_layouts, practised_caches, published_formats)


@pytest.fixture(scope="module")
def built() -> tuple[LedgerRow, ...]:
    return build()


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LedgerRow]]:
    """A ledger that a test fills itself."""
    mine: list[LedgerRow] = []

    def forget() -> None:
        ledger_module._by_engine.cache_clear()
        for function in CACHED:
            function.cache_clear()

    forget()
    monkeypatch.setattr(ledger_module, "ledger", lambda: tuple(mine))
    yield mine
    monkeypatch.undo()
    forget()


def row(**named: object) -> LedgerRow:
    """A recipe of vLLM for a dense model on H200 where ``named`` does not say otherwise."""
    plain = LedgerRow(
        engine="vllm",
        version="",
        device="h200-sxm",
        architecture="Hopper",
        model_class="dense",
        layout="tp",
        format="bf16",
        cache="",
        speculation="",
        served=0,
        bias=None,
        spread=None,
        models=1,
        operators="measured",
        recipes=1,
        guides=1,
        latency=0,
        throughput=0,
    )
    return replace(plain, **named)  # type: ignore[arg-type]


def test_the_shipped_file_is_what_the_builder_writes(built: tuple[LedgerRow, ...]) -> None:
    assert as_csv(built) == LEDGER.read_text(encoding="utf-8"), f"the ledger is stale: {RENEW}"
    assert built == ledger()


def test_the_page_is_what_the_builder_writes(built: tuple[LedgerRow, ...]) -> None:
    assert_stored(ROOT / "docs" / "evidence" / "ledger.md", page(built))


def test_rows_are_of_known_kinds_and_differ() -> None:
    keys = {tuple(getattr(r, f.name) for f in fields(Key)) for r in ledger()}
    assert len(keys) == len(ledger()) > 500
    for r in ledger():
        assert r.layout in LAYOUT_CLASSES
        assert r.model_class in ("dense", "moe", "mla", "compressed")
        assert r.operators in OPERATORS
        assert r.cache in ("", *KV_LAYOUTS)
        assert ":" not in r.speculation
        assert r.served + r.recipes > 0
        assert r.guides <= r.recipes
        assert r.latency + r.throughput <= r.recipes
        assert (r.bias is None) == (r.served == 0)
        assert (r.spread is None) == (r.served < 2)
        if r.device in FAMILIES:
            assert (r.architecture, r.operators) == ("", "prior")
        else:
            assert r.architecture == load_device(r.device).architecture


def test_recipes_add_up_to_published_practice() -> None:
    counted: Counter[tuple[str, str, str]] = Counter()
    for r in ledger():
        counted[r.engine, r.device, r.model_class] += r.recipes
    published = Counter((r.engine, r.device, class_of(r.model)) for r in recipes())
    assert +counted == published
    guides = sum(r.kind in ("guide", "config") for r in recipes())
    assert sum(r.guides for r in ledger()) == guides


def test_served_rows_add_up_to_the_compared_ones() -> None:
    lines: dict[tuple[object, ...], dict[str, int]] = {}
    for line in served_residuals():
        metrics = lines.setdefault((line.kind, line.model_id, line.table), {})
        metrics[line.metric] = len(line.residuals)
    wanted: Counter[tuple[object, object]] = Counter()
    for (kind, *_), metrics in lines.items():
        number = metrics.get("tpot", metrics.get("throughput", 0))
        wanted[kind.engine, kind.device] += number  # type: ignore[attr-defined]
    counted: Counter[tuple[object, object]] = Counter()
    for r in ledger():
        counted[r.engine, r.device] += r.served
    assert +counted == +wanted


def test_operators_are_measured_only_where_the_device_has_sets_of_the_stack() -> None:
    assert {r.operators for r in ledger()} == set(OPERATORS)
    stacks = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm"}
    for r in ledger():
        if r.operators == "measured":
            assert stacks[r.engine] in {key[1] for key in load_device(r.device).fitted}
        if r.device not in FAMILIES and not load_device(r.device).inherited:
            own = load_device(r.device).fitted
            assert r.operators == "prior" or own


@pytest.mark.parametrize(
    ("engine", "text", "minor"),
    [
        ("vllm", "v0.20.1", "0.20"),
        ("vllm", ">=0.12.0", ">=0.12"),
        ("vllm", "0.23.x", "0.23"),
        ("vllm", "vllm==0.10.1+gptoss", "0.10"),
        ("vllm", "vllm-x86_64-cu13-0.25.1-7a33ba9", "0.25"),
        ("sglang", "v0.5.12.post1-rocm720-mi35x-20260523", "0.5"),
        ("sglang", "sglang-0.5.9-rocm720-mi35x-mori-0227-2", "0.5"),
        ("tensorrt-llm", "1.3.0rc18", "1.3"),
        ("vllm", "nightly-dev-arm64-cu13.0.1-426e59f", ""),
        ("vllm", "minimax-m3-perf-arm64-13.0.1-7a67223", ""),
        ("tensorrt-llm", "0.8.1.post1", ""),
        ("vllm", "1.3.1", ""),
        ("sglang", "latest", ""),
        ("vllm", "", ""),
    ],
)
def test_versions_are_minors_that_the_engine_has(engine: str, text: str, minor: str) -> None:
    assert minor_of(engine, text) == minor


def test_families_are_those_of_the_devices_platforms() -> None:
    words = {"cuda": "nvidia", "rocm": "amd"}
    for device in map(load_device, device_ids()):
        assert family_of(device.architecture) == words.get(device.platform, "")


def test_standing_grows_with_rows(rows: list[LedgerRow]) -> None:
    def standing() -> tuple[float, float, float]:
        engine_standing.cache_clear()
        ledger_module._by_engine.cache_clear()
        some = engine_standing("vllm", "h200-sxm", "Hopper", "dense")
        return some.served, some.class_recipes, some.device_recipes

    assert standing() == (0, 0, 0)
    near = 4 + 4 * RELATIVE
    steps = (
        (row(served=4, recipes=0), (4, 0, 0)),
        (row(device="h100-sxm", served=4), (near, 0, 0)),
        (row(recipes=3), (near, 3, 3)),
        (row(model_class="moe", served=9, recipes=2), (near, 3, 5)),
        (row(device="nvidia", architecture="", recipes=2), (near, 3.5, 5)),
        (row(device="amd", architecture="", recipes=2), (near, 3.5, 5)),
        (row(device="b200-sxm", architecture="Blackwell", served=9, recipes=2), (near, 3.5, 5)),
        (row(engine="sglang", served=9, recipes=2), (near, 3.5, 5)),
    )
    for added, wanted in steps:
        rows.append(added)
        assert standing() == wanted


def test_standing_is_never_below_what_the_device_has() -> None:
    for r in ledger():
        if r.architecture:
            some = engine_standing(r.engine, r.device, r.architecture, r.model_class)
            assert some.served >= r.served
            assert some.device_recipes >= r.recipes
            assert some.class_recipes >= r.recipes


def test_layouts_are_the_devices_then_the_architectures_then_all(rows: list[LedgerRow]) -> None:
    rows += [
        row(recipes=2),
        row(layout="attention dp", recipes=5, latency=5),
        row(layout="pp", device="h100-sxm", recipes=9),
        row(layout="tp+ep", device="b200-sxm", architecture="Blackwell", recipes=1, throughput=1),
        row(engine="sglang", layout="pools", recipes=7),
    ]
    assert published_layouts("vllm", "h200-sxm", "Hopper", "dense") == (("tp", 2),)
    latency = published_layouts("vllm", "h200-sxm", "Hopper", "dense", throughput=False)
    assert latency == (("attention dp", 5), ("tp", 2))
    assert published_layouts("", "h200-sxm", "Hopper", "dense") == (("pools", 7), ("tp", 2))
    assert published_layouts("vllm", "h20", "Hopper", "dense") == (("pp", 9), ("tp", 2))
    everywhere = published_layouts("vllm", "l4", "Ada", "dense")
    assert everywhere == (("pp", 9), ("tp", 2), ("tp+ep", 1))
    assert published_layouts("vllm", "h200-sxm", "Hopper", "mla") == ()
    assert published_layouts("mlx", "h200-sxm", "Hopper", "dense") == ()


def test_formats_are_counted_over_engines(rows: list[LedgerRow]) -> None:
    rows += [
        row(recipes=2),
        row(engine="sglang", format="fp8-block", recipes=3),
        row(format="", recipes=9),
        row(format="nvfp4", device="b200-sxm", architecture="Blackwell", recipes=4),
    ]
    assert published_formats("h200-sxm", "Hopper", "dense") == (("fp8-block", 3), ("bf16", 2))
    assert published_formats("l4", "Ada", "dense")[0] == ("nvfp4", 4)


def test_caches_are_the_architectures_or_all(rows: list[LedgerRow]) -> None:
    rows += [row(cache="fp8"), row(cache="bf16", architecture="Blackwell"), row(architecture="Ada")]
    assert practised_caches("vllm", "Hopper") == {"fp8"}
    assert practised_caches("vllm", "Blackwell") == {"bf16"}
    assert practised_caches("vllm", "Ada") == {"fp8", "bf16"}
    assert practised_caches("sglang", "Hopper") == frozenset()


def test_shipped_answers_are_of_known_classes_and_ordered() -> None:
    for r in ledger():
        for throughput in (True, False):
            layouts = published_layouts(
                r.engine, r.device, r.architecture, r.model_class, throughput=throughput
            )
            assert {name for name, _ in layouts} <= set(LAYOUT_CLASSES)
            numbers = [n for _, n in layouts]
            assert numbers == sorted(numbers, reverse=True)
            assert all(n > 0 for n in numbers)


def test_questions_are_cheap_once_the_file_is_read() -> None:
    ledger()
    start = time.process_time()
    for device in device_ids():
        published_layouts("", device, "Hopper", "moe")
        engine_standing("vllm", device, "Hopper", "moe")
    assert time.process_time() - start < 1.0
