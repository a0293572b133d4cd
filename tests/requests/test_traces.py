"""Traces from files: both formats read back what was written, and absurd lines are told apart."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.requests import traces
from planner.requests.traces import read_trace

GOOD = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [7, 9]}\n'
HEADER = "arrival_seconds,input_tokens,output_tokens\n"
REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 10**7),
        st.integers(1, 3000),
        st.integers(1, 500),
        st.one_of(st.none(), st.integers(0, 5)),
    ),
    min_size=1,
    max_size=40,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


@settings(max_examples=40, deadline=None)
@given(REQUESTS, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_json_lines_are_read_back_in_order_of_arrival(
    folder: Path,
    requests: list[tuple[int, int, int, int | None]],
    end: str,
    encoding: str,
) -> None:
    rows = [
        {"timestamp": t, "input_length": i, "output_length": o, "turn": 1}
        | ({} if b is None else {"hash_ids": list(range(b, b + -(-i // 512)))})
        for t, i, o, b in requests
    ]
    file = folder / "trace.jsonl"
    file.write_text("".join(json.dumps(row) + end for row in rows), encoding=encoding, newline="")
    stream, notes = read_trace(file)
    ordered = sorted(requests, key=lambda r: r[0])
    assert bool(notes) == (
        ordered != requests and [r[0] for r in requests] != [r[0] for r in ordered]
    )
    times = np.array([r[0] for r in ordered]) / 1e3
    assert np.allclose(stream.arrival_seconds, times - times[0], atol=1e-9)
    assert stream.input_tokens.tolist() == [r[1] for r in ordered]
    assert stream.output_tokens.tolist() == [r[2] for r in ordered]
    # Ids may have other names, and equal ones stay equal.
    names: dict[int, int] = {}
    for k, (_, i, _, b) in enumerate(ordered):
        mine = stream.blocks[stream.block_start[k] : stream.block_start[k + 1]].tolist()
        theirs = [] if b is None else list(range(b, b + -(-i // 512)))
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            assert names.setdefault(other, one) == one
    assert len(set(names.values())) == len(names)
    assert sorted(names.values()) == list(range(len(names)))
    assert stream.block_tokens == (512 if names else 0)


@settings(max_examples=30, deadline=None)
@given(REQUESTS, st.booleans())
def test_csv_is_read_back_whatever_the_order_of_its_columns(
    folder: Path, requests: list[tuple[int, int, int, int | None]], swapped: bool
) -> None:
    file = folder / "trace.csv"
    head = " Output_Tokens ,note,arrival_seconds,input_tokens" if swapped else HEADER.strip()
    rows = [f'{o},"a, b",{t / 8},{i}' if swapped else f"{t / 8},{i},{o}" for t, i, o, _ in requests]
    file.write_text("\n".join((head, *rows)), encoding="utf-8")
    stream, _ = read_trace(file)
    ordered = sorted(requests, key=lambda r: r[0])
    assert stream.arrival_seconds.tolist() == [(r[0] - ordered[0][0]) / 8 for r in ordered]
    assert stream.input_tokens.tolist() == [r[1] for r in ordered]
    assert stream.output_tokens.tolist() == [r[2] for r in ordered]
    assert len(stream.blocks) == 0


def test_unsorted_times_are_sorted_and_told(folder: Path) -> None:
    file = folder / "late.csv"
    file.write_text(HEADER + "5,10,1\n3,20,2\n4,30,3\n3,40,4\n")
    stream, notes = read_trace(file)
    assert stream.arrival_seconds.tolist() == [0, 0, 1, 2]
    assert stream.input_tokens.tolist() == [20, 40, 30, 10]
    (note,) = notes
    assert note.key == "trace"
    assert "2 of its requests" in note.value


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("nonsense", "not JSON"),
        ("[1, 2]", "where an object is needed"),
        ('{"timestamp": 1, "input_length": 3}', "no output_length"),
        ('{"timestamp": NaN, "input_length": 3, "output_length": 3}', "NaN is no number"),
        ('{"timestamp": -1, "input_length": 3, "output_length": 3}', "timestamp = -1"),
        ('{"timestamp": true, "input_length": 3, "output_length": 3}', "timestamp = True"),
        ('{"timestamp": "1", "input_length": 3, "output_length": 3}', "a number is required"),
        ('{"timestamp": 1e999, "input_length": 3, "output_length": 3}', "out of range"),
        ('{"timestamp": 1, "input_length": 0, "output_length": 3}', "input_length = 0"),
        ('{"timestamp": 1, "input_length": 2.5, "output_length": 3}', "input_length = 2.5"),
        ('{"timestamp": 1, "input_length": true, "output_length": 3}', "input_length = True"),
        ('{"timestamp": 1, "input_length": 3, "output_length": 1e12}', "output_length"),
        ('{"timestamp": 1, "input_length": 3, "output_length": ' + "9" * 5000 + "}", "not JSON"),
        ('{"timestamp": 1, "timestamp": 2, "input_length": 3, "output_length": 3}', "twice"),
        ('{"timestamp": 1, "input_length": 3, "output_length": 3, "hash_ids": 4}', "hash_ids"),
        ('{"timestamp": 1, "input_length": 3, "output_length": 3, "hash_ids": [true]}', "hash_ids"),
        ('{"timestamp": 1, "input_length": 512, "output_length": 3, "hash_ids": [1, 2]}', "for a"),
        ('{"timestamp": 1,\0 "input_length": 3, "output_length": 3}', "NUL"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_an_absurd_line_of_json_is_refused_at_its_number(
    folder: Path, line: str, what: str
) -> None:
    file = folder / "absurd.jsonl"
    file.write_text(GOOD + "\n" + GOOD + line + "\n" + GOOD)
    with pytest.raises(InputError, match=what) as caught:
        read_trace(file)
    assert ": line 4: " in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("1,2", "2 cells"),
        ("1,2,3,4", "4 cells"),
        ("x,2,3", "arrival_seconds"),
        ("nan,2,3", "out of range"),
        ("inf,2,3", "out of range"),
        ("-1,2,3", "out of range"),
        ("1_0,2,3", "arrival_seconds"),
        ("1,-2,3", "input_tokens"),
        ("1,2.5,3", "input_tokens"),
        ("1,,3", "input_tokens"),
        ("1,2,99999999999999999999999", "output_tokens"),
        ('1,2,"3" 4', "not CSV"),
        ("1,2\0,3", "NUL"),
    ],
)
def test_an_absurd_line_of_csv_is_refused_at_its_number(folder: Path, line: str, what: str) -> None:
    file = folder / "absurd.csv"
    file.write_text(HEADER + "0,1,1\n" + line + "\n2,1,1\n")
    with pytest.raises(InputError, match=what) as caught:
        read_trace(file)
    assert ": line 3: " in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no requests"),
        (HEADER, "no requests"),
        ("\n\n", "no requests"),
        ("a,b,c\n1,2,3\n", "no column arrival_seconds"),
        (HEADER.replace("\n", ",input_tokens\n") + "1,2,3,4\n", "input_tokens is there twice"),
    ],
)
def test_a_file_without_requests_or_their_columns_is_refused(
    folder: Path, text: str, what: str
) -> None:
    file = folder / "empty.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=what):
        read_trace(file)


def test_what_is_no_file_of_text_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="not a regular file"):
        read_trace(folder)
    with pytest.raises(InputError):
        read_trace(folder / "none.jsonl")
    file = folder / "bytes.jsonl"
    file.write_bytes(GOOD.encode() + b"\xff\xfe\xfd\n")
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        read_trace(file)
    file.write_bytes(b"{" + b" " * (traces.MOST_LINE + 5))
    with pytest.raises(InputError, match="line 1: longer than"):
        read_trace(file)


def test_too_many_requests_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_REQUESTS", 3)
    file = folder / "many.jsonl"
    file.write_text(GOOD * 3)
    assert len(read_trace(file)[0]) == 3
    file.write_text(GOOD * 4)
    with pytest.raises(InputError, match="more than 3 requests"):
        read_trace(file)
