"""A process that is asked for a year keeps a bounded number of results: what users give (models,
devices, versions, texts of files) is a key of caches with a limit alone."""

import ast
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.wheels import ROOT

from planner.lookup import load_model
from planner.throughput import cpu_host, elementwise_kernels, fixed

GIVEN = {"ModelSpec", "DeviceProfile", "Plan", "Question", "GivenValues"}
NAMED = {"version", "capability", "compute_capability", "context", "batch", "path"}
ALLOWED = {"_check_columns", "_steps", "plain_shapes"}
"""Of packaged files, and of tables that a command reads once."""


def without_limit(text: str) -> Iterator[str]:
    """Functions of a module that keep every result, and take something that a user gives."""
    if "@cache" not in text:  # most modules: parsing takes most of the time
        return
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef) or node.name in ALLOWED:
            continue
        if "cache" not in {one.id for one in node.decorator_list if isinstance(one, ast.Name)}:
            continue
        for one in (*node.args.args, *node.args.kwonlyargs):
            words = (
                {part.id for part in ast.walk(one.annotation) if isinstance(part, ast.Name)}
                if one.annotation is not None
                else set()
            )
            if words & GIVEN or one.arg in NAMED:
                yield f"{node.name}({one.arg})"


def test_no_cache_without_a_limit_takes_what_a_user_gives() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {one}"
        for path in sorted((ROOT / "planner").rglob("*.py"))
        for one in without_limit(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "@cache\ndef f(spec: ModelSpec): ...",
        "@cache\ndef f(*, version: str): ...",
        "@cache\ndef f(a: int, device: DeviceProfile | None): ...",
    ],
)
def test_a_cache_without_a_limit_would_be_found(text: str) -> None:
    assert len(list(without_limit(text))) == 1
    assert list(without_limit(text.replace("@cache", "@lru_cache(maxsize=64)"))) == []


def test_models_that_are_asked_no_more_are_forgotten() -> None:
    spec = load_model("qwen2.5-0.5b")
    for number in range(80):
        one = replace(spec, id=f"model-{number}")
        fixed._streams_width(one)
        elementwise_kernels.layer_norms(one)
        elementwise_kernels._mixing(one)
        cpu_host.calls_of_layer(one, "pytorch")
    for function in (
        fixed._streams_width,
        elementwise_kernels.layer_norms,
        elementwise_kernels._mixing,
        cpu_host.calls_of_layer,
    ):
        assert function.cache_info().currsize <= 64
