"""The command that serves a plan: whole when pasted, narrow when shown."""

import shlex

from hypothesis import given
from hypothesis import strategies as st
from support.questions import plan_of

import planner
from planner.export.serve_line import serving_command
from planner.report.columns import plain_width
from planner.report.view.shell_lines import command_lines, serve_lines


def pasted(lines: list[str]) -> list[str]:
    return shlex.split("\n".join(lines).replace("\\\n", ""))


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" "),
            min_size=1,
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(40, 120),
)
def test_a_shell_reads_the_words_back(words: list[str], width: int) -> None:
    assert pasted(command_lines(words, width)) == words
    assert pasted(command_lines(words, 0)) == words


def test_a_flag_stays_with_its_value() -> None:
    words = [
        "vllm",
        "serve",
        "a/b",
        "--tensor-parallel-size",
        "8",
        "--enable-expert-parallel",
        "--kv-cache-dtype",
        "fp8",
    ]
    lines = command_lines(words, 40)
    assert [line.rstrip(" \\").strip() for line in lines] == [
        "vllm serve a/b",
        "--tensor-parallel-size 8",
        "--enable-expert-parallel",
        "--kv-cache-dtype fp8",
    ]
    assert all(line.endswith(" \\") for line in lines[:-1])


def test_a_plan_of_an_engine_shows_its_command() -> None:
    plan = planner.estimate("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm")
    with plain_width():
        lines = serve_lines(plan)
    assert lines[0] == "serve it:"
    found = serving_command(plan)
    assert found.words
    body = lines[1 : next(n for n, line in enumerate(lines) if n and not line.endswith("\\")) + 1]
    assert pasted(body) == list(found.words)


def test_theory_says_that_none_serves_it() -> None:
    with plain_width():
        lines = serve_lines(plan_of())
    assert lines[0].startswith("no engine serves it")
