"""The flags of commands are as published, and are the arguments of the API."""

import inspect

import pytest
from support.published_flags import flags, keywords

import planner
from planner.cli.main import cli
from planner.planning.question.parameters import MILLISECONDS
from tests.project.contract_flags import (
    CALIBRATE_FLAGS,
    CLAIMS_FLAGS,
    COMPARE_FLAGS,
    DIFF_FLAGS,
    ENGINE_FLAGS,
    ESTIMATE_FLAGS,
    EXPERTS_FLAGS,
    EXPLAIN_FLAGS,
    EXPORT_FLAGS,
    FIT_FLAGS,
    FLEET_FLAGS,
    FORMATS_FLAGS,
    FRONTIER_FLAGS,
    IMPORT_FLAGS,
    LEARN_FLAGS,
    MAKE_FLAGS,
    MEASURE_FLAGS,
    MEMORY_FLAGS,
    NUMERICS_FLAGS,
    OTHER_FLAGS,
    PLAN_FLAGS,
    PROFILE_FLAGS,
    REPLAY_FLAGS,
    REPORT_FLAGS,
    SENSITIVITY_FLAGS,
    SERVE_FLAGS,
    SWEEP_FLAGS,
    TRAIN_FLAGS,
    VALIDATE_FLAGS,
    VERIFY_FLAGS,
)

SENSITIVITY_COLUMNS = ("layer", "kind", "tensor", "alpha", "low", "high", "source", "tier")

NOT_IN_THE_API = {
    "json",
    "report",
    "quiet",
    "timings",
    "assumptions",
    "verbose",
    "lang",
    "interactive",
    "grid",
    "prefix_hit",
}
COMMAND_ALONE = {"resume", "out", "force", "trust_remote_code"}
"""What only the commands of plans and estimates have."""


def test_every_command_that_takes_a_model_passes_keys_over() -> None:
    named = {name: {p.name for p in command.params} for name, command in cli.commands.items()}
    assert {name for name, found in named.items() if "ignore_keys" in found} == {
        name for name, found in named.items() if found & {"model", "checkpoint"}
    }
    assert "ignore_keys" in keywords("load_model")


def test_every_command_that_takes_a_model_may_ask_the_hub() -> None:
    named = {name: {p.name for p in command.params} for name, command in cli.commands.items()}
    assert {name for name, found in named.items() if "online" in found} == {
        name for name, found in named.items() if "model" in found
    }
    assert keywords("load_model")["online"] is False


def test_flags_of_the_two_questions() -> None:
    assert flags("plan") == PLAN_FLAGS
    assert flags("estimate") == ESTIMATE_FLAGS


@pytest.mark.parametrize(
    ("command", "expected"),
    [("train", TRAIN_FLAGS), ("experts", EXPERTS_FLAGS), ("serve", SERVE_FLAGS)],
)
def test_flags_of_memory_questions_are_the_arguments_of_the_api(
    command: str,
    expected: set[str],
) -> None:
    assert flags(command) == expected
    named = {flag.removeprefix("--").replace("-", "_") for flag in expected}
    assert named - NOT_IN_THE_API == set(keywords(command))


def test_flags_of_explain_are_the_arguments_of_the_api() -> None:
    assert flags("explain") == EXPLAIN_FLAGS
    named = {
        flag.removeprefix("--").replace("-", "_").replace("_ms", "_seconds")
        for flag in EXPLAIN_FLAGS
    }
    assert named - NOT_IN_THE_API == set(keywords("explain"))


def test_flags_of_profile_are_the_arguments_of_the_api() -> None:
    assert flags("profile") == PROFILE_FLAGS
    named = {flag.removeprefix("--").replace("-", "_") for flag in PROFILE_FLAGS} - NOT_IN_THE_API
    assert named == set(keywords("profile")) - {"progress", "notify", "ignore_keys"}


@pytest.mark.parametrize(
    ("command", "expected"), [("measure", MEASURE_FLAGS), ("verify", VERIFY_FLAGS)]
)
def test_flags_of_engines_are_the_arguments_of_the_api(command: str, expected: set[str]) -> None:
    assert flags(command) == expected
    named = {f.removeprefix("--").replace("-", "_") for f in expected} - NOT_IN_THE_API
    assert named | {"output"} == set(keywords(command)) - {"progress", "notify"} | {"output"}


def test_flags_of_make_are_the_arguments_of_the_api_and_limits_of_a_plan() -> None:
    assert flags("make") == MAKE_FLAGS
    named = {flag.removeprefix("--").replace("-", "_") for flag in MAKE_FLAGS}
    keys = set(keywords("make")) - {"progress"}
    assert named - {"json", "quiet", "output", "max_loss", "file_bytes"} == keys


def test_flags_of_engine_are_the_arguments_of_the_api() -> None:
    assert flags("engine") == ENGINE_FLAGS
    assert set(keywords("engine")) == set(keywords("engines")) == {"engine_dir"}


def test_flags_of_learn_are_the_arguments_of_the_api() -> None:
    assert flags("learn") == LEARN_FLAGS
    named = {f.removeprefix("--").replace("-", "_") for f in LEARN_FLAGS} - NOT_IN_THE_API
    other = {"no_keep": "keep_runs", "forget": "forget_run", "list": ""}
    assert {other.get(name, name) for name in named} - {""} == set(keywords("learn")) - {"results"}


def test_flags_of_sensitivity_are_the_arguments_of_the_api() -> None:
    assert flags("sensitivity") == SENSITIVITY_FLAGS
    assert keywords("sensitivity") == {"exclude_models": (), "names": "module"}
    own = {p.name for p in cli.commands["sensitivity"].params} - {
        "as_json",
        "plot",
        "ignore_keys",
        "lang",
        "online",
    }
    assert own == {"model", *keywords("sensitivity")}
    assert tuple(planner.sensitivity("smollm2-135m").columns) == SENSITIVITY_COLUMNS


def test_flags_of_sweep_are_the_arguments_of_the_api() -> None:
    assert flags("sweep") == SWEEP_FLAGS
    named = {flag.removeprefix("--").replace("-", "_") for flag in SWEEP_FLAGS} - NOT_IN_THE_API
    assert named == set(keywords("sweep")) - {"progress", "notify"}


def test_flags_of_memory_and_validate() -> None:
    assert flags("memory") == MEMORY_FLAGS
    assert flags("validate") == VALIDATE_FLAGS
    assert (flags("report"), flags("calibrate")) == (REPORT_FLAGS, CALIBRATE_FLAGS)
    from planner.memory.engines.flags import ENGINE_FLAGS

    own = {name.removeprefix("--").replace("-", "_") for name in MEMORY_FLAGS} - {"json", "quiet"}
    assert own == set(keywords("memory_use")) | set(ENGINE_FLAGS)


def test_flags_of_fleet_are_the_arguments_of_the_api() -> None:
    assert flags("fleet") == FLEET_FLAGS
    named = {f.removeprefix("--").replace("-", "_") for f in FLEET_FLAGS - {"--csv", "--lang"}}
    assert named - NOT_IN_THE_API == set(keywords("fleet")) - {"progress"}


def test_flags_of_fit_are_the_arguments_of_the_api() -> None:
    assert flags("fit") == FIT_FLAGS
    other = {"top": "count"}
    named = {f.removeprefix("--") for f in FIT_FLAGS} - NOT_IN_THE_API
    assert {other.get(name, name) for name in named} == set(keywords("fit")) - {"device"}


def test_flags_of_compare_are_the_arguments_of_the_api() -> None:
    assert flags("compare") == COMPARE_FLAGS
    named = {f.removeprefix("--").replace("-", "_") for f in COMPARE_FLAGS - {"--csv", "--all"}}
    renamed = MILLISECONDS
    assert {renamed.get(n, n) for n in named - NOT_IN_THE_API} == set(keywords("compare"))


def test_flags_of_claims_and_formats() -> None:
    assert flags("claims") == CLAIMS_FLAGS
    assert set(keywords("claims")) == {"only"}
    assert flags("formats") == FORMATS_FLAGS
    assert flags("diff") == DIFF_FLAGS
    assert flags("frontier") == FRONTIER_FLAGS
    named = {f.removeprefix("--").replace("-", "_") for f in FRONTIER_FLAGS - {"--svg"}}
    renamed = MILLISECONDS
    assert {renamed.get(n, n) for n in named - NOT_IN_THE_API} == set(keywords("frontier"))
    assert set(keywords("diff")) == {"fail_if"}


def test_a_flag_means_the_same_everywhere() -> None:
    for name in cli.commands:
        assert (
            flags(name)
            - {
                *PLAN_FLAGS,
                *ESTIMATE_FLAGS,
                *OTHER_FLAGS,
                *TRAIN_FLAGS,
                *EXPERTS_FLAGS,
                *NUMERICS_FLAGS,
                *MEMORY_FLAGS,
                *VALIDATE_FLAGS,
                *CALIBRATE_FLAGS,
                *PROFILE_FLAGS,
                *EXPLAIN_FLAGS,
                *SERVE_FLAGS,
                *REPLAY_FLAGS,
                *REPORT_FLAGS,
                *SWEEP_FLAGS,
                *COMPARE_FLAGS,
                *LEARN_FLAGS,
                *MAKE_FLAGS,
                *MEASURE_FLAGS,
                *VERIFY_FLAGS,
                *CLAIMS_FLAGS,
                *FORMATS_FLAGS,
                *DIFF_FLAGS,
                *FRONTIER_FLAGS,
                *FIT_FLAGS,
                *SENSITIVITY_FLAGS,
                *EXPORT_FLAGS,
                *ENGINE_FLAGS,
                *IMPORT_FLAGS,
            }
            == set()
        ), name


def test_flags_of_exports() -> None:
    assert flags("export") == EXPORT_FLAGS
    assert flags("import") == IMPORT_FLAGS
    named = {flag.removeprefix("--").replace("-", "_") for flag in EXPORT_FLAGS}
    arguments = set(inspect.signature(planner.export_plan).parameters)
    assert named - {"force", "quiet"} == arguments - {"plan"}


@pytest.mark.parametrize("function", ["plan", "estimate"])
def test_the_api_has_the_names_of_the_flags(function: str) -> None:
    from_flags = {flag.removeprefix("--").replace("-", "_") for flag in flags(function)}
    renamed = MILLISECONDS
    assert {renamed.get(name, name) for name in from_flags - NOT_IN_THE_API - COMMAND_ALONE} == set(
        keywords(function)
    )


def test_flags_of_a_replay_are_the_arguments_of_the_api() -> None:
    assert flags("replay") == REPLAY_FLAGS
    named = {flag.removeprefix("--").replace("-", "_") for flag in REPLAY_FLAGS}
    named = {MILLISECONDS.get(name, name) for name in named} - NOT_IN_THE_API - {"csv"}
    arguments = set(inspect.signature(planner.replay).parameters) - {"model", "device", "progress"}
    assert named | {"prefix_hit_rate"} == arguments
