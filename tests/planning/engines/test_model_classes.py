"""Which engine serves a model's class at which version."""

import csv

import pytest

import planner
from planner.base.errors import UnsupportedError
from planner.base.versions import version_of
from planner.lookup import resolve_model
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import model_ids
from planner.planning.engines.model_classes import ALIKE, first_with, model_bar, served_class
from planner.planning.engines.rules import DATA


@pytest.mark.parametrize(
    ("model", "engine", "first"),
    [
        ("glm-5", "sglang@0.5.8", "0.5.9"),
        ("glm-4.6", "tensorrt-llm@1.0", "1.2.0"),
        ("qwen3-next-80b-a3b", "tensorrt-llm@1.0", "1.2.0"),
        ("minimax-m2.5", "tensorrt-llm@1.0", "1.3.0rc13"),
        ("deepseek-v4-flash", "vllm@0.18", "0.20.0"),
    ],
)
def test_a_model_is_refused_by_versions_before_its_class(
    model: str, engine: str, first: str
) -> None:
    spec, server = resolve_model(model), parse_engine(engine)
    bar = model_bar(server, spec)
    assert bar is not None
    assert bar.status == "refused"
    assert f"does not serve {spec.architecture}; {first} is the first that does" in bar.reason
    assert first_with(server, spec) == f"{server.name}@{first}"
    with pytest.raises(UnsupportedError, match=f"{server.label}: does not serve") as error:
        planner.plan(model, "b200-sxm", devices=8, engine=engine)
    assert f"--engine {server.name}@{first}" in str(error.value.hint)
    later = parse_engine(f"{server.name}@{first}")
    assert model_bar(later, spec) is None


def test_what_no_source_says_is_unknown_and_not_served() -> None:
    spec = resolve_model("glm-5")
    for engine in ("tensorrt-llm@1.2.1", "sglang@0.5.8.post1"):
        bar = model_bar(parse_engine(engine), spec)
        assert bar is not None
        assert bar.status == "unknown"
        assert "no source says" in bar.reason


def test_versions_before_the_oldest_that_was_read_are_not_refused_for_its_classes() -> None:
    llama, spec = resolve_model("llama-3.1-8b"), resolve_model("glm-5")
    assert model_bar(parse_engine("vllm@0.6.4"), llama) is None
    assert model_bar(parse_engine("vllm@0.6.4"), spec) is not None


def test_a_class_that_was_dropped_is_no_longer_served() -> None:
    gone = [row for row in _rows() if row["until"]]
    assert gone
    for row in gone:
        rest = [r for r in _rows() if (r["engine"], r["architecture"]) == _key(row)]
        at = parse_engine(f"{row['engine']}@{row['until']}")
        before = parse_engine(f"{row['engine']}@{row['since']}")
        found = served_class(at, row["architecture"])
        assert found is not None
        if not any(r["since"] == row["until"] for r in rest):
            assert found.served is False
        known = served_class(before, row["architecture"])
        assert known is not None
        assert known.served


def test_rows_are_ordered_and_their_versions_known() -> None:
    for row in _rows():
        names = [row[key] for key in ("absent", "since", "until") if row[key]]
        assert [version_of(n) for n in names] == sorted(version_of(n) for n in names)
        if row["engine"] != "llama.cpp":
            for name in names:
                assert parse_engine(f"{row['engine']}@{name}").taken is None
    keys = [(*_key(row), row["since"]) for row in _rows()]
    assert len(set(keys)) == len(keys)


def test_the_default_versions_serve_most_bundled_models() -> None:
    """As a floor: new models may come before the engines that serve them."""
    specs = [resolve_model(name) for name in model_ids()]
    for name in ("vllm", "sglang", "llama.cpp"):
        engine = parse_engine(name)
        served = [s for s in specs if model_bar(engine, s) is None]
        assert len(served) > 0.9 * len(specs)


def test_other_names_of_a_class_are_names_of_no_row_of_the_engine() -> None:
    names = {_key(row) for row in _rows() if row["since"]}
    for name, others in ALIKE.items():
        assert any((engine, other) in names for engine in ("vllm", "sglang") for other in others)
        assert any((engine, name) not in names for engine in ("vllm", "sglang"))


def test_models_and_engines_without_a_class_are_not_judged() -> None:
    assert served_class(parse_engine("vllm"), "") is None
    assert served_class(parse_engine("pytorch"), "LlamaForCausalLM") is None


def _key(row: dict[str, str]) -> tuple[str, str]:
    return row["engine"], row["architecture"]


def _rows() -> list[dict[str, str]]:
    with (DATA / "engine_models.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
