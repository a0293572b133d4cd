"""Every argument of every public function under values of a wrong type, and under odd ones of the
right type: an error that says what it takes, never another exception and never an answer."""

import contextlib
import inspect
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

import planner
from planner.base.errors import InputError, PlannerError
from planner.base.typed import typed
from planner.models.spec import ModelSpec

MODEL, DEVICE = "qwen2.5-0.5b", "h100-sxm"
SMALL: dict[str, Any] = {"devices": 1, "context": 512}
PLAN = planner.estimate(MODEL, DEVICE, scheme="bf16", batch=1, **SMALL)
PAIR: dict[str, Any] = {"model": MODEL, "device": DEVICE}
VALID: dict[str, dict[str, Any]] = {
    "plan": {**PAIR, **SMALL, "batch": 1, "schemes": ["bf16"]},
    "estimate": {**PAIR, **SMALL, "batch": 1},
    "inventory": {"model": MODEL},
    "load_model": {"model": MODEL},
    "load_device": {"device": DEVICE},
    "load_scenario": {"scenario": "orin-int8"},
    "layer_error": {"model": MODEL, "module": "mlp-down"},
    "claims": {},
    "diff": {"old": PLAN, "new": PLAN},
    "experts": {"model": "mixtral-8x7b"},
    "explain": {**PAIR, "module": "mlp-down", "context": 512, "batch": 1},
    "export_plan": {"plan": PLAN, "to": "compressed-tensors"},
    "import_plan": {"file": "/none", "model": MODEL},
    "frontier": dict(PAIR),
    "profile": {"checkpoint": "/none"},
    "serve": {**PAIR, **SMALL, "tp": 1, "concurrency": 1},
    "sweep": {"questions": [{**PAIR, **SMALL, "batch": 1, "verb": "estimate"}]},
    "train": dict(PAIR),
    "validate": {"only": "op_quantize"},
    "what_if": {**PAIR, "base": PLAN},
    "memory_use": dict(PAIR),
    "read_plan": {"source": "/none"},
    "sensitivity": {"model": MODEL},
    "load_workload": {"workload": "rag"},
    "compare": {**PAIR, **SMALL, "schemes": ["bf16"], "engine": "vllm"},
    "published_files": {"model": MODEL},
    "verify": {"plan": PLAN, "checkpoint": "/none"},
    "measure": {"output": os.devnull},
    "capacity": {**PAIR, "context": 512, "rate": 1.0},
    "fleet": {"source": "/none"},
    "replay": {**PAIR, **SMALL, "rate": 1.0, "count": 10},
    "learn": {"results": ["/none"]},
    "make": {"plan": PLAN, "checkpoint": "/none", "output": "/none.gguf"},
    "engine": {"name": "ollama"},
    "engines": {"engine_dir": "/none"},
    "fit": {"device": DEVICE, "count": 1},
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(planner, name)
    for name in planner.__all__
    if inspect.isfunction(getattr(planner, name))
}
WRONG: dict[str, Any] = {
    "text": "x",
    "whole": 3,
    "half": 1.5,
    "nan": float("nan"),
    "yes": True,
    "none": None,
    "bytes": b"x",
    "lists": [["bf16"]],
    "numbers": [1],
    "mapping": {"a": 1},
    "object": object(),
    "complex": 1j,
    "array": np.zeros((2, 2)),
    "class": type,
    "lambda": lambda: 0,
    "plan": PLAN,
    "numpy nan": np.float64("nan"),
}
OWN_TYPES = {"sweep": {"questions"}, "experts": {"popularity"}}
"""Arguments of mixed content, which their readers check."""
ARGUMENTS = [
    (name, parameter)
    for name, function in sorted(FUNCTIONS.items())
    for parameter, one in inspect.signature(function).parameters.items()
    if one.kind is not inspect.Parameter.VAR_KEYWORD and parameter not in OWN_TYPES.get(name, ())
]


def allowed(annotation: str, label: str) -> bool:
    """Whether ``annotation`` allows the value, by the words in it alone."""
    plain = annotation.replace("Sequence[str]", "").replace("list[str]", "")
    return {
        "text": "str" in plain,
        "whole": "int" in plain or "float" in plain,
        "half": "float" in plain,
        "yes": "bool" in plain,
        "none": "None" in plain,
        "lambda": "Callable" in plain or "Progress" in plain,
        "class": "Callable" in plain or "Progress" in plain,
        "mapping": "dict" in plain or "Mapping" in plain,
        "numbers": "Sequence[int]" in plain,
        "plan": "Plan" in plain,
    }.get(label, False)


def test_every_public_function_is_here() -> None:
    assert set(VALID) == set(FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "parameter"), [pytest.param(*pair, id=".".join(pair)) for pair in ARGUMENTS]
)
def test_a_value_of_another_type_is_refused_with_what_is_taken(name: str, parameter: str) -> None:
    function = FUNCTIONS[name]
    annotation = str(inspect.signature(function).parameters[parameter].annotation)
    tried = [label for label in WRONG if not allowed(annotation, label)]
    assert len(tried) >= 10
    for label in tried:
        with pytest.raises(InputError) as found:
            function(**{**VALID[name], parameter: WRONG[label]})
        assert parameter in found.value.message, label
        assert found.value.hint, label


ODD = st.one_of(
    st.sampled_from(
        [
            -1,
            0,
            1,
            2**31,
            2**70,
            -1.0,
            float("inf"),
            -float("inf"),
            1e308,
            "",
            "\0",
            "a" * 5000,
            "any",
            "bf16",
            "é",
            [],
            ["x"],
            ["bf16"],
            (),
            True,
            False,
            None,
        ]
    ),
    st.integers(-4, 2**80),
    st.floats(allow_nan=True),
    st.text(max_size=8),
)
QUICK = (
    "estimate",
    "inventory",
    "load_model",
    "load_device",
    "load_scenario",
    "diff",
    "experts",
    "explain",
    "export_plan",
    "import_plan",
    "memory_use",
    "read_plan",
    "serve",
    "train",
)


@settings(max_examples=examples(40))
@given(st.sampled_from([a for a in ARGUMENTS if a[0] in QUICK]), ODD)
def test_an_odd_value_of_the_right_type_is_answered_or_refused(
    argument: tuple[str, str], value: Any
) -> None:
    name, parameter = argument
    with contextlib.suppress(PlannerError):
        FUNCTIONS[name](**{**VALID[name], parameter: value})


@typed
def _sample(
    model: "str | ModelSpec",
    *,
    ratio: "float" = 1.0,
    count: "int | None" = None,
    names: "list[str] | None" = None,
) -> tuple[Any, ...]:
    return model, ratio, count, names


def test_numbers_of_numpy_and_whole_ratios_are_plain_numbers_inside() -> None:
    found = _sample("m", ratio=np.int64(2), count=np.int64(3))
    assert found == ("m", 2.0, 3, None)
    assert [type(v) for v in found[1:3]] == [float, int]


def test_messages_name_the_value_and_what_is_taken() -> None:
    with pytest.raises(InputError, match="scheme = 3 is of type int") as found:
        planner.estimate(MODEL, DEVICE, scheme=3)  # type: ignore[arg-type]
    assert found.value.hint == "scheme is a name or None"
    with pytest.raises(InputError, match=r"names\[1\] = 2 is of type int") as found:
        _sample("m", names=["a", 2])  # type: ignore[list-item]
    assert found.value.hint == "names is a list of names or None"
    with pytest.raises(InputError, match="ratio = nan is not a number"):
        _sample("m", ratio=float("nan"))
    with pytest.raises(InputError, match="too long for the name of a file"):
        _sample("x" * 300)
    with pytest.raises(TypeError, match="unexpected keyword"):
        _sample("m", other=1)  # type: ignore[call-arg]


def test_times_in_milliseconds_are_told_in_seconds() -> None:
    """The command line's spelling of the limits; Python's own complaint named no way on."""
    limits = {"tpot_ms": 50, "ttft_ms": 1000}
    with pytest.raises(InputError, match="in seconds here, not tpot_ms, ttft_ms") as found:
        planner.plan(MODEL, DEVICE, **limits)  # type: ignore[arg-type]
    assert found.value.hint == "tpot_seconds=0.05, ttft_seconds=1.0"
    with pytest.raises(InputError) as found:
        planner.plan(MODEL, DEVICE, tpot_ms="none")  # type: ignore[call-arg]
    assert found.value.hint == "tpot_seconds='none'"
    with pytest.raises(TypeError, match="other_ms"):
        planner.plan(MODEL, DEVICE, other_ms=1)  # type: ignore[call-arg]


def test_the_signature_stays() -> None:
    assert str(inspect.signature(_sample)).startswith("(model: 'str | ModelSpec', *, ratio")
