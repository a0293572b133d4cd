"""Pages of docs/evidence: rows that move beside the page are all there, and linked."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.pages import insert, moved, narrow, publish, split
from evaluation.report import table

CELLS = st.text("-aé9.,;\"'%-– ", max_size=6).map(str.strip)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5))
def test_a_table_is_the_same_as_csv(rows: list[tuple[str, str, str]]) -> None:
    head = ("one", "two", "three")
    page, data = split(f"before\n\n{moved('some', 'All rows', table(head, rows))}\n\nafter\n")
    assert page == f"before\n\n[All rows](data/some.csv): {len(rows)} rows.\n\nafter\n"
    assert list(csv.reader(io.StringIO(data["some"]))) == [list(head), *map(list, rows)]


def test_a_bar_in_a_cell_is_no_border() -> None:
    _, data = split(moved("bars", "x", ["| a |", "|---|", r"| b \| c |"]))
    assert data["bars"] == "a\nb | c\n"


def test_tables_of_one_head_are_one_table() -> None:
    text = (
        "## A\n\n| x | y |\n|---|--:|\n| 1 | 2 |\n\n## B\n\nwhy:\n\n| x | y |\n|---|--:|\n| 3 | 4 |"
    )
    assert split(moved("both", "x", text))[1]["both"] == "section,x,y\nA,1,2\nB: why,3,4\n"


def test_tables_of_several_heads_and_code_are_rows_of_values() -> None:
    text = "| x | y |\n|---|---|\n| 1 | 2 |\n\n## C\n\n| x | z |\n|---|---|\n| 3 | 4 |\n"
    assert (
        split(moved("more", "x", text))[1]["more"] == "section,row,column,value\n,1,y,2\nC,3,z,4\n"
    )
    assert split(moved("code", "x", "```sh\na | b\n\nc\n```"))[1]["code"] == 'line\na | b\n""\nc\n'


def test_some_columns_of_a_table() -> None:
    lines = table(("a", "b", "c"), [(1, 2, 3)])
    assert narrow(lines, (0, 2)) == "| a | c |\n| --- | --- |\n| 1 | 3 |"
    with pytest.raises(IndexError):
        narrow(lines, (3,))


def test_a_part_of_a_page_is_renewed_with_its_data(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    publish(page, "# A\n<!-- x: begin -->\nold\n<!-- x: end -->\nend\n")
    insert(page, moved("rows", "Rows", table(("a",), [(1,)])), "x")
    assert page.read_text("utf-8") == (
        "# A\n<!-- x: begin -->\n[Rows](data/rows.csv): 1 rows.\n<!-- x: end -->\nend\n"
    )
    assert (tmp_path / "data" / "rows.csv").read_text("utf-8") == "a\n1\n"
    with pytest.raises(ValueError, match="not enough values"):
        insert(page, "", "y")


def test_lists_and_sentences_are_not_lost() -> None:
    table = "| x | y |\n|---|---|\n| 1 | 2 |"
    text = f"why\n\n* one\n  more\n* two\n\n## A\n\nsaid.\n\nover:\n\n{table}\n\nend\n"
    assert split(moved("notes", "x", text))[1]["notes"].splitlines() == [
        "section,row,column,value",
        "why,,note,one more",
        "why,,note,two",
        "A,,note,said.",
        "A: over,1,y,2",
        "A,,note,end",
    ]
