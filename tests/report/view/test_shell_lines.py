"""The command that serves a plan: whole when pasted, narrow when shown."""

import shlex

from hypothesis import given
from hypothesis import strategies as st

from planner.report.view.shell_lines import command_lines


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
