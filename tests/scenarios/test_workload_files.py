"""Workloads as files: the bundled ones, a user's own, and what is refused with a way out."""

from pathlib import Path

import pytest

import planner
from planner.base.errors import DataError, InputError, PlannerError
from planner.planning.question.scenarios import parse_scenario
from planner.report.render.terminal import text_of_view
from planner.report.view.lists import scenarios_view
from planner.workloads import load_workload, parse_workload, workload_ids

MODEL, DEVICE = "llama-3.1-8b", "h100-sxm"
PLAIN = 'title = "t"\nsource = "s"\n'


def test_the_bundled_ones_and_their_sources() -> None:
    assert workload_ids() == ("agent", "batch", "chat", "long", "rag", "reasoning")
    for name in workload_ids():
        found = load_workload(name)
        assert found.id == name
        assert len(found.source) > 80
    numbers = {
        name: (found.isl, found.osl, found.prefix_hit_rate)
        for name in workload_ids()
        for found in (load_workload(name),)
    }
    assert numbers == {
        "chat": (1024, 1024, 0.0),
        "rag": (8192, 1024, 0.0),
        "reasoning": (1024, 8192, 0.0),
        "agent": (32768, 1024, 0.9),
        "batch": (8192, 1024, 0.0),
        "long": (None, None, 0.0),
    }
    assert [n for n in workload_ids() if not load_workload(n).latency_limit] == ["batch"]


def test_a_file_works_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PLAIN + "isl = 2_000\nosl = 500\ncontext = 4_000\nprefix_hit_rate = 0.25\n")
    found = planner.estimate(MODEL, DEVICE, workload=str(path), batch=2, engine="any")
    work = found.workload
    assert (work.isl, work.osl, work.context_tokens) == (2000, 500, 4000)
    assert (work.preset, work.prefix_hit_rate) == ("mine", 0.25)
    notes = {a.key: a for a in found.assumptions}
    assert notes["workload"].value == "mine: t"
    assert notes["prefix cache"].value == "500 of 2000 prompt tokens are not computed"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("isl = 1\nosl = 1\nols = 2", "ols: unknown key", "osl"),
        ("isl = 9\nosl = 9\ncontext = 17", "isl 9 + osl 9 exceed context 17", "at least 18"),
        (
            "isl = 9\nosl = 9\nprefix_hit_rate = 1.5",
            "prefix_hit_rate = 1.5 is out of range",
            "below 1",
        ),
        ("isl = 9\nosl = 9\nprefix_hit_rate = -0.1", "prefix_hit_rate = -0.1 is out of range", "0"),
        ("isl = 9\nosl = 9\nprefix_hit_rate = true", "prefix_hit_rate = True is out of range", "0"),
        ("isl = 9", "osl: a number of tokens is required", "osl ="),
        ("osl = 9", "isl: a number of tokens is required", "isl ="),
        ("isl = 0\nosl = 9", "isl = 0: a whole number above 0", "isl = 8_192"),
        ("isl = 1.5\nosl = 9", "isl = 1.5: a whole number above 0", "isl = 8_192"),
        ("isl = 8\nfills_context = true", "isl and fills_context exclude each other", "remove isl"),
        ("isl = 8\nosl = 8\nlatency_limit = 1", "latency_limit: true or false", "latency_limit"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_workload((PLAIN + text).encode(), place="w.toml", id="w")
    assert caught.value.message.startswith("w.toml: ")
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_title_and_a_source_are_required() -> None:
    for text in (
        "isl = 1\nosl = 1\n",
        'title = "t"\nisl = 1\nosl = 1\n',
        'title = ""\nsource = "s"\nisl = 1\nosl = 1\n',
    ):
        with pytest.raises(DataError, match="a text is required"):
            parse_workload(text.encode(), place="w", id="w")


@pytest.mark.parametrize(
    ("name", "hint"), [("agnet", "agent"), ("./nowhere.toml", "agent, batch, chat"), ("", "agent")]
)
def test_a_name_that_is_none(name: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        planner.estimate(MODEL, DEVICE, workload=name)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, (9216, 8192, 1024)),
        ({"osl": 256}, (8448, 8192, 256)),
        ({"isl": 4096}, (5120, 4096, 1024)),
        ({"context": 32768}, (32768, 8192, 1024)),
    ],
)
def test_flags_replace_parts_of_it(given: dict[str, int], wanted: tuple[int, int, int]) -> None:
    found = planner.estimate(MODEL, DEVICE, workload="rag", batch=1, engine="any", **given)
    work = found.workload
    assert (work.context_tokens, work.isl, work.osl) == wanted
    assert work.preset == "rag"
    told = next(a.value for a in found.assumptions if a.key == "workload")
    for name, value in given.items():
        assert (f"{name} {value} given" in told) == (name != "context")


def test_a_context_below_the_requests_is_refused() -> None:
    with pytest.raises(InputError, match="isl 8192 \\+ osl 1024 do not fit context 4096"):
        planner.estimate(MODEL, DEVICE, workload="rag", context=4096)


def test_long_prompts_fill_the_context_or_the_positions() -> None:
    whole = planner.estimate(MODEL, DEVICE, workload="long", batch=1, engine="any").workload
    assert (whole.context_tokens, whole.isl, whole.osl) == (131072, 130048, 1024)
    fewer = planner.estimate(
        "mistral-7b-v0.1", DEVICE, workload="long", batch=1, engine="any"
    ).workload
    assert fewer.context_tokens == 32768
    given = planner.estimate(
        MODEL, DEVICE, workload="long", context=16384, batch=1, engine="any"
    ).workload
    alone = planner.estimate(MODEL, DEVICE, context=16384, batch=1, engine="any").workload
    assert (given.isl, given.osl) == (alone.isl, alone.osl) == (15360, 1024)


def test_a_scenario_names_a_workload_and_flags_override_both() -> None:
    text = 'title = "t"\nquestion = "q"\nworkload = "agent"\nosl = 512\n'
    scenario = parse_scenario(text.encode(), place="s.toml", id="s")

    def asked(**given: object) -> tuple[object, ...]:
        work = planner.estimate(
            MODEL, DEVICE, scenario=scenario, batch=1, engine="any", **given
        ).workload  # type: ignore[arg-type]
        return work.isl, work.osl, work.prefix_hit_rate, work.preset

    assert asked() == (32768, 512, 0.9, "agent")
    assert asked(prefix_hit_rate=0.0) == (32768, 512, 0.0, "agent")
    assert asked(isl=1024) == (1024, 1024, 0.9, "agent")
    assert asked(workload="rag") == (8192, 1024, 0.0, "rag")
    with pytest.raises(DataError, match="prefix_hit_rate = 2 is out of range"):
        parse_scenario(b'title = "t"\nquestion = "q"\nprefix_hit_rate = 2\n', place="s", id="s")
    with pytest.raises(PlannerError, match="unknown workload 'rog'"):
        parse_scenario(b'title = "t"\nquestion = "q"\nworkload = "rog"\n', place="s", id="s")


@pytest.mark.exhaustive
def test_batch_has_no_default_limit_and_says_so() -> None:
    batch, rag = (
        planner.plan(MODEL, DEVICE, workload=name, devices=1, engine="vllm")
        for name in ("batch", "rag")
    )
    assert not any(a.key == "tpot-ms default" for a in batch.assumptions)
    assert any(a.key == "tpot-ms default" for a in rag.assumptions)
    assert any(a.key == "latency limit" for a in batch.assumptions)
    limited = planner.plan(
        MODEL, DEVICE, workload="batch", devices=1, engine="vllm", tpot_seconds=0.02
    )
    assert limited.performance.tpot_seconds.value <= 0.02 * (1 + 1e-9)


def test_a_scenario_lists_its_workload_by_name() -> None:
    text = b'title = "t"\nquestion = "q"\nworkload = "agent"\nmodel = "m"\n'
    shown = text_of_view(scenarios_view([parse_scenario(text, place="s.toml", id="s")], "en"))
    assert "workload=agent" in shown
