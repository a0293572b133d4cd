"""The parameters of a question are one record: verbs, flags and the core's values follow it.

A parameter that is added to one of these places only fails here.
"""

import inspect
from dataclasses import MISSING, fields
from typing import Any

import click
import pytest

import planner
from planner.cli.main import cli
from planner.memory.engines.flags import ENGINE_FLAGS
from planner.planning.inspect.memory import memory
from planner.planning.question.declaring import parameters as parameters_of
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import ANY, BF16, QuestionInput
from planner.planning.question.parameters import MILLISECONDS, RuleParameters
from planner.workloads import load_workload

OF_SCENARIOS = {"keep_first_layers", "keep_last_layers", "policies", "power_mode"}
"""Values that no verb takes."""
OWN = {
    "plan": "mode prefill_device transfer_bytes_per_s rate",
    "estimate": "",
    "explain": "module solves mode prefill_device transfer_bytes_per_s",
    "frontier": "points map",
    "compare": "price",
    "capacity": "rate percentile router max_devices price simulate",
    "what_if": "base grid workers journal resume progress notify",
    "memory": "checkpoint with_mtp with_vision lora draft",
    "serve": "concurrency requests draft_tokens acceptance draft_layers "
    "chunk_tokens stream_interval scheduler host_us host_us_per_sequence graphs overlap "
    "prefill_workers decode_workers transfer_bytes_per_s cache_tokens",
}
"""Parameters of a verb that are not a question's."""
DEFAULTS = {
    ("estimate", "kv"): BF16,
    ("serve", "kv"): BF16,
    ("memory", "engine"): ANY,
    ("serve", "engine"): ANY,
}
REQUIRED = {
    ("frontier", "model"),
    ("frontier", "device"),
    ("compare", "model"),
    ("compare", "device"),
    ("capacity", "model"),
    ("capacity", "device"),
}
"""Named by the caller, as no scenario or plan can name them."""
ANNOTATIONS = {
    ("frontier", "model"): "str | ModelSpec",
    ("frontier", "device"): "str | DeviceProfile",
    ("capacity", "model"): "str | ModelSpec",
    ("capacity", "device"): "str | DeviceProfile | Sequence[str | DeviceProfile]",
    ("compare", "model"): "str | ModelSpec | Sequence[str | ModelSpec]",
    ("compare", "device"): "str | DeviceProfile | Sequence[str | DeviceProfile]",
    ("plan", "speculation"): "str | ModelSpec | None",
    ("estimate", "speculation"): "str | ModelSpec | None",
}
NOT_GIVEN = {"corrections", "assumed_host"}
"""What others measured here, and the host that is assumed where none is named."""
DRAFTS = {"speculation", "draft_tokens", "acceptance"}
BESIDE = {"host", "host_sockets", "host_memory_bytes", "reuse", "kv_offload", "kv_offload_bytes"}
"""What plans and estimates alone are asked of a whole deployment."""
LOAD = {"chunk_tokens", "requests", "same_lengths"}
"""How a benchmark loads what is priced."""
ALSO = {
    "serve": {"concurrency", "draft_tokens", "acceptance", "chunk_tokens", "requests"},
    "compare": {"price"},
    "capacity": {"price"},
}
"""Parameters that a verb reads in its own way."""
FREE = {"scheme", "plan", "kv", "memory_bytes"}
"""Named beside what they belong to, so at different places in the signatures."""
PRINTED = {
    "as_json",
    "report",
    "quiet",
    "timings",
    "interactive",
    "svg",
    "csv_file",
    "assumptions",
    "ignore_keys",
    "lang",
    "online",
    "out",
    "force",
    "trust_remote_code",
}
FLAGS = {**MILLISECONDS, "plan_file": "plan"}


def verb(name: str) -> Any:
    return memory if name == "memory" else getattr(planner, name)


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """The named parameters of a verb."""
    return {
        n: p
        for n, p in inspect.signature(verb(name)).parameters.items()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    }


def of_question(name: str) -> dict[str, inspect.Parameter]:
    """Those of a question."""
    return {n: p for n, p in parameters(name).items() if n not in OWN[name].split()}


@pytest.mark.parametrize("name", OWN)
def test_a_verb_takes_parameters_of_the_record(name: str) -> None:
    record = {f.name: f for f in fields(QuestionInput)}
    own = OWN[name].split()
    assert set(own) & set(record) == ALSO.get(name, set())
    assert set(own) <= set(parameters(name))
    for parameter, found in of_question(name).items():
        assert parameter in record, f"{name}({parameter}) is neither of a question nor its own"
        field = record[parameter]
        assert found.annotation == ANNOTATIONS.get((name, parameter), field.type), parameter
        if (name, parameter) in REQUIRED:
            assert found.default is inspect.Parameter.empty
            continue
        wanted = DEFAULTS.get((name, parameter), field.default)
        assert found.default == wanted, parameter
        assert type(found.default) is type(wanted), (
            f"{parameter}: a default must be told from the same word given"
        )


@pytest.mark.parametrize("name", OWN)
def test_a_verb_has_them_in_the_order_of_the_record(name: str) -> None:
    mine = [n for n in of_question(name) if n not in FREE]
    assert mine == [f.name for f in fields(QuestionInput) if f.name in mine]
    kinds = {n: p.kind for n, p in parameters(name).items()}
    assert [n for n, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY] == [
        "model",
        "device",
    ]


def test_a_plan_takes_every_parameter_that_is_not_of_a_price() -> None:
    every = {f.name for f in fields(QuestionInput)} - NOT_GIVEN
    assert set(of_question("plan")) == every - {"scheme", "plan"} - LOAD
    whole = {*DRAFTS, *BESIDE}
    assert set(of_question("what_if")) == set(of_question("plan")) - {
        "anchor",
        "exact",
        *parameters_of(RuleParameters),
        *whole,
    }
    assert set(of_question("explain")) == every - {"anchor", *whole} - LOAD


def test_the_record_holds_every_value_of_the_core() -> None:
    assert {f.name for f in fields(GivenValues)} - OF_SCENARIOS <= {
        f.name for f in fields(QuestionInput)
    }
    assert all(f.default is not MISSING for f in fields(QuestionInput))


SAMPLE: dict[str, Any] = {
    "objective": "latency",
    "max_loss": "bf16",
    "kv": "fp8",
    "schemes": ("bf16",),
    "drop_policies": ("head",),
    "untie": True,
    "ttft_seconds": 0.5,
    "tpot_seconds": 0.25,
    "workload": load_workload("rag"),
    "prefix_hit_rate": 0.5,
    "slots": "full",
}


@pytest.mark.parametrize("name", sorted({f.name for f in fields(GivenValues)} - OF_SCENARIOS))
def test_a_value_of_the_record_reaches_the_core(name: str) -> None:
    value = SAMPLE.get(name, 3)
    assert getattr(QuestionInput().given_values, name) in (None, False)
    assert getattr(QuestionInput(**{name: value}).given_values, name) == value


@pytest.mark.parametrize("name", sorted(OWN.keys() - {"what_if"}))
def test_the_flags_of_a_command_are_the_parameters_of_its_verb(name: str) -> None:
    params = {p.name: p for p in cli.commands[name].params}
    engines = set(ENGINE_FLAGS) if name == "memory" else set()
    surface = (
        PRINTED
        | {"help_all", "verbose", "everything"}
        | ({"grid", "resume"} if name == "plan" else set())
    )
    from_flags = {FLAGS.get(str(n), str(n)) for n in set(params) - surface - engines}
    assert from_flags == set(parameters(name))
    for flag, parameter in params.items():
        if isinstance(parameter, click.Option) and flag not in surface:
            # Flags without a default of their own leave it to the verb.
            default = (
                parameters(name)[FLAGS.get(str(flag), str(flag))].default
                if flag not in engines
                else None
            )
            assert parameter.to_info_dict()["default"] in (None, default), flag


def test_an_argument_that_the_record_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\['points'\]"):
        QuestionInput.of({"model": "a", "points": 3})
    with pytest.raises(TypeError, match=r"\['points'\]"):
        QuestionInput.of({"model": "a"}, own=("points",))
    assert QuestionInput.of({"model": "a", "points": 3}, own=("points",)) == QuestionInput(
        model="a"
    )
