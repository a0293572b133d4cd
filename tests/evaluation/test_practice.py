"""Questions drawn from published practice, the criteria that judge answers, recipes left out."""

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import planner
from evaluation.practice import __main__ as program
from evaluation.practice import criteria, page
from evaluation.practice.ask import Row, ask, row_of
from evaluation.practice.criteria import Answer
from evaluation.practice.draw import (
    COUNT,
    MOST_A_MODEL,
    PracticeQuestion,
    covered,
    draw,
    family_of,
    fits,
    is_guided,
    shares,
)
from evaluation.practice.removal import base_model, is_own, without_recipes
from planner.planning.practice import recipes as table
from planner.planning.practice.recipes import recipes, recipes_for


@pytest.fixture(scope="module")
def drawn() -> tuple[PracticeQuestion, ...]:
    return draw(recipes())


def test_a_seed_draws_the_same_questions(drawn: tuple[PracticeQuestion, ...]) -> None:
    assert draw(recipes()) == drawn
    assert draw(tuple(reversed(recipes()))) == drawn
    assert draw(recipes(), seed=43) != drawn
    assert len(drawn) == len(set(drawn)) == COUNT


def test_families_have_the_share_of_the_sources(drawn: tuple[PracticeQuestion, ...]) -> None:
    pairs = covered(recipes())
    weights = {f: sum(is_guided(some[0]) for some in of.values()) for f, of in pairs.items()}
    counts = Counter(q.family for q in drawn)
    total = sum(weights.values())
    assert set(counts) == set(weights)
    for family, weight in weights.items():
        assert abs(counts[family] - COUNT * weight / total) <= 1, family
    assert max(Counter(q.model for q in drawn).values()) <= MOST_A_MODEL
    assert all(family_of(q.device) == q.family for q in drawn)


def test_counts_are_published_or_said_to_depart(drawn: tuple[PracticeQuestion, ...]) -> None:
    pairs = covered(recipes())
    kinds = Counter(q.count for q in drawn)
    assert kinds["as published"] >= COUNT // 2
    assert kinds["twice"]
    assert kinds["half"]
    for q in drawn:
        published = {r.devices for r in pairs[q.family][q.model, q.device]}
        assert (q.devices in published) == (q.count == "as published"), q
        if q.count == "half":
            assert 2 * q.devices in published
            assert fits(q.model, q.device, q.devices)
        if q.count == "twice":
            assert q.devices // 2 in published
            assert q.family != "Jetson"
    assert {q.workload for q in drawn} == {"", "chat", "rag", "reasoning", "batch"}
    assert any(q.context for q in drawn)


def test_shares_sum_up_and_leave_nobody_out() -> None:
    assert shares({"a": 97, "b": 2, "c": 1, "d": 0}, 10) == {"a": 8, "b": 1, "c": 1}
    assert sum(shares({"a": 1, "b": 1, "c": 1}, 10).values()) == 10


def test_a_table_with_too_few_models_is_no_draw() -> None:
    rows = [r for r in recipes() if r.model == "gpt-oss-120b"]
    with pytest.raises(ValueError, match="questions of a family"):
        draw(rows, 60)


def test_a_question_is_a_command() -> None:
    one = PracticeQuestion("gpt-oss-20b", "h100-sxm", 2, "rag", 0, "Hopper", "twice")
    assert one.command == "plan gpt-oss-20b h100-sxm --devices 2 --workload rag"
    assert replace(one, workload="", context=4096).command.endswith("--devices 2 --context 4096")


def test_releases_of_a_model_are_one() -> None:
    assert base_model("qwen3-235b-a22b-nvfp4") == base_model("qwen3-235b-a22b-fp8")
    assert base_model("gemma-3-27b-text") == "gemma-3-27b"
    assert base_model("glm-5.1") != base_model("glm-5")
    own = partial(is_own, "glm-5", "h200-sxm")
    assert own("glm-5-fp8", "h100-sxm")
    assert own("glm-5", "nvidia")
    assert not own("glm-5", "b200-sxm")
    assert not own("glm-5", "amd")
    assert not own("glm-5.1", "h200-sxm")


def test_recipes_are_left_out_and_come_back() -> None:
    before, path = recipes(), table.TABLE
    gone = [r for r in before if is_own("glm-5", "h200-sxm", r.model, r.device)]
    assert {r.model for r in gone} == {"glm-5", "glm-5-fp8"}
    with without_recipes("glm-5", "h200-sxm") as count:
        assert count == len(gone)
        assert recipes() == tuple(r for r in before if r not in gone)
        assert not [r for r in recipes_for("glm-5") if r.device == "h200-sxm"]
        assert [r for r in recipes_for("glm-5") if r.device == "gb300"]
    assert (recipes(), table.TABLE) == (before, path)
    assert [r for r in recipes_for("glm-5") if r.device == "h200-sxm"]


def test_recipes_come_back_after_an_error() -> None:
    before = recipes()
    with pytest.raises(RuntimeError), without_recipes("glm-5", "h200-sxm"):
        raise RuntimeError
    assert recipes() == before


def test_the_planner_does_not_see_what_is_left_out() -> None:
    question = PracticeQuestion("qwen3-8b", "h100-sxm", 1, "chat", 0, "Hopper", "as published")
    known, unknown = (ask(question, recipes(), own=own) for own in (True, False))
    assert known.recipe_shown
    assert {known.evidence, unknown.evidence} <= {"measured", "recipe", "related", "none"}
    assert not unknown.recipe_shown
    assert unknown.recipe  # what is published is told all the same


@pytest.fixture(scope="module")
def answer() -> Answer:
    """Llama 70B on Hopper, tensor parallel in its FP8 release, which passes all criteria."""
    plan = planner.estimate(
        "llama-3.1-70b", "h100-sxm", scheme="bf16", kv="bf16", devices=8, tp=8, batch=8,
        engine="vllm",
    )  # fmt: skip
    return Answer(plan, recipes())


def changed(answer: Answer, **parts: object) -> Answer:
    return Answer(replace(answer.plan, **parts), answer.rows)


def only(answer: Answer, criterion: str) -> str:
    """What the one criterion that fails says."""
    failed = criteria.judged(answer)
    assert list(failed) == [criterion]
    return failed[criterion]


def test_what_is_published_and_released_passes(answer: Answer) -> None:
    assert criteria.judged(answer) == {}


def test_an_engine_that_nobody_took_fails(answer: Answer) -> None:
    nobody = Answer(answer.plan, tuple(r for r in answer.rows if r.engine != "vllm"))
    kind = planner.load_model("llama-3.1-70b")
    assert kind.experts is None
    assert criteria.engine_fails(nobody) == ""  # measured there for its class
    engine = replace(answer.plan.engine, name="llama.cpp", version=None)
    nobody = changed(answer, engine=replace(answer.plan.engine, name="any", version=None))
    assert only(nobody, "1 engine") == "the plan is for no engine"
    assert "llama.cpp on h100-sxm" in criteria.engine_fails(changed(answer, engine=engine))


def test_a_layout_that_nobody_published_fails(answer: Answer) -> None:
    layout = replace(answer.plan.layout, tp=2, dp=4)
    rows = tuple(r for r in answer.rows if criteria.class_of(r) != "attention dp")
    nobody = Answer(replace(answer.plan, layout=layout), rows)
    assert criteria.layout_fails(nobody).startswith("attention dp; published: ")
    copies = replace(answer.plan.layout, tp=2, replicas=4)
    assert criteria.layout_fails(changed(answer, layout=copies)) == ""


def test_weights_that_must_be_made_fail(answer: Answer) -> None:
    plan = answer.plan
    mixed = tuple(
        replace(u, scheme="int8-w8a8") if u.kind == "mlp-down" and u.layers[0] == 0 else u
        for u in plan.units
    )
    assert "new weights" in criteria.weights_fail(changed(answer, units=mixed))


def test_weights_made_while_loading_pass_as_fp8_of_dense_models_alone() -> None:
    def made(model: str, **question: object) -> Answer:
        plan = planner.estimate(
            model, "h100-sxm", scheme="fp8-tensor", kv="bf16", devices=1, batch=1, engine="vllm",
            **question,
        )  # fmt: skip
        return Answer(plan, recipes())

    dense, experts = made("olmo-2-7b"), made("gemma-4-26b-a4b")
    assert (dense.weights.made, experts.weights.made) == ("loading", "loading")
    assert criteria.weights_fail(dense) == ""
    assert criteria.weights_fail(experts).startswith("made while loading, experts")


def test_a_cache_that_nobody_served_fails(answer: Answer) -> None:
    def with_cache(name: str) -> Answer:
        units = tuple(replace(u, kv_layout=name) if u.kv_layout else u for u in answer.plan.units)
        return changed(answer, units=units)

    assert criteria.cache_fails(with_cache("int8-token")).startswith("int8-token; known: bf16")
    assert criteria.cache_fails(with_cache("fp8")) == ""
    assert criteria.cache_fails(with_cache("bf16")) == ""


def test_a_class_that_the_version_does_not_have_fails(answer: Answer) -> None:
    plan = planner.estimate(
        "qwen3-next-80b-a3b", "h200-sxm", devices=4, tp=4, batch=4, engine="sglang"
    )
    assert criteria.class_fails(Answer(plan, answer.rows)) == ""
    old = replace(plan, engine=replace(plan.engine, version="0.5.1"))
    words = criteria.class_fails(Answer(old, answer.rows))
    assert words == "Qwen3NextForCausalLM absent in sglang 0.5.1; first seen: 0.5.2"
    assert criteria.class_fails(answer) == ""


def test_what_cannot_be_exported_fails(answer: Answer) -> None:
    engine = replace(answer.plan.engine, name="any", version=None)
    device = replace(answer.plan.device, id="a/path.toml")
    assert "is a path" in criteria.export_fails(changed(answer, device=device))
    assert criteria.export_fails(answer) == ""
    assert criteria.command_fails(changed(answer, engine=engine)).startswith("no command")


def test_a_flag_that_no_table_has_fails(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    known = criteria.flags("vllm")
    monkeypatch.setattr(criteria, "flags", lambda engine: {
        name: flag for name, flag in known.items() if name != "--max-num-seqs"
    })  # fmt: skip
    assert only(answer, "7 command") == "unknown: --max-num-seqs"
    monkeypatch.setattr(criteria, "flags", lambda engine: {})
    words = only(answer, "7 command")
    assert not criteria.is_failure(words)


def test_flags_are_told_from_values_and_from_pythons_own() -> None:
    words = ("env", "A=1", "python", "-m", "server", "--tp-size", "8", "--x=1", "--n", "-1")
    assert criteria.flags_of(words) == ["--tp-size", "--x", "--n"]
    assert criteria.flags_of(("llama-server", "-m", "x.gguf")) == ["-m"]
    nodes = ("mpirun", "-n", "16", "-H", "NODE0:8", "trtllm-serve", "x", "--tp_size", "16")
    assert criteria.flags_of(nodes) == ["--tp_size"]


def test_stages_in_a_domain_fail(answer: Answer) -> None:
    inside = replace(answer.plan.layout, tp=4, pp=2)
    assert criteria.shape_fails(changed(answer, layout=inside)) == (
        "pp 2 of 4 devices in a domain of 8"
    )
    across = replace(answer.plan.layout, tp=8, pp=2)
    assert criteria.shape_fails(changed(answer, layout=across)) == ""


def test_pools_that_nobody_published_fail(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answer, "pools", property(lambda self: True))
    pools = tuple(
        replace(r, prefill="1 x tp4", layout="pools") if r.model == "llama-3.1-70b" else r
        for r in answer.rows
    )
    one = tuple(r for r in answer.rows if not r.prefill)
    assert "two pools" in criteria.shape_fails(Answer(answer.plan, one))
    assert criteria.shape_fails(Answer(answer.plan, pools)) == ""


def test_tables_count_what_fails(answer: Answer) -> None:
    question = PracticeQuestion("a", "h100-sxm", 8, "", 0, "Hopper", "twice")
    good = row_of(question, answer, 1.0)
    assert good.deployable
    bad = replace(good, failed=(("8 shape", "pp 2"), ("4 cache", "x|y")), seconds=3.0)
    refused = Row(question, 2.0, refusal="no\nroom")
    runs = {"all recipes": [good, bad, refused], "without the question's own": [good]}
    lines = page.summary(runs).splitlines()
    assert "| deployable | 1 of 3 | 1 of 1 |" in lines
    assert "| wanted | ≥ 3 | ≥ 1 |" in lines
    assert "| stages inside a domain | 1 of 3 | 0 of 1 |" in lines
    assert "| median processor seconds | 2.0 | 1.0 |" in lines
    assert "| refused | 1 | 0 |" in page.failures(runs).splitlines()
    assert "| 8 shape | 1 | 0 |" in page.failures(runs).splitlines()
    failing = page.failing(runs["all recipes"]).splitlines()[2:]
    assert [line.split(" | ")[2] for line in failing] == ["8 shape", "4 cache", "refused"]
    assert "no: 8 shape, 4 cache" in page.answers(runs["all recipes"])
    assert page.families([good, bad]).splitlines()[-1] == "| Hopper | 2 | 1 |"


def test_the_program_writes_tables_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = PracticeQuestion("qwen3-8b", "h100-sxm", 1, "chat", 0, "Hopper", "as published")
    monkeypatch.setattr(program, "draw", lambda rows, count, seed: (question,) * count)
    names = ("summary", "families", "failures", "answers")
    docs = tmp_path / "page.md"
    docs.write_text(
        "".join(f"<!-- {n}: begin -->\n<!-- {n}: end -->\n" for n in names),
        encoding="utf-8",
    )
    rows = tmp_path / "rows.json"
    assert program.main(["--count", "1", "--docs", str(docs), "--json", str(rows)]) == 0
    assert "(data/practice-answers.csv): 1 rows." in docs.read_text(encoding="utf-8")
    for name in ("answers", "answers-without"):
        written = (tmp_path / "data" / f"practice-{name}.csv").read_text(encoding="utf-8")
        assert question.command in written
    assert '"deployable"' in rows.read_text(encoding="utf-8")
    assert "deployable" in capsys.readouterr().out
