"""Lengths of a request from what is given: a workload by name, then the rules of the contract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.planning.question.workload import slot_note, workload, workload_notes
from planner.workloads import NamedWorkload, load_workload

RAG, LONG = load_workload("rag"), load_workload("long")
LIMIT = 131072


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, (8192, 7168, 1024)),
        ({"context": 32768}, (32768, 31744, 1024)),
        ({"context": 100}, (100, 88, 12)),
        ({"isl": 4096}, (4608, 4096, 512)),
        ({"isl": 4096, "osl": 7}, (4103, 4096, 7)),
        ({"context": 9000, "osl": 9}, (9000, 8991, 9)),
        ({"context": 9000, "isl": 8990}, (9000, 8990, 10)),
    ],
)
def test_the_rules_without_a_name(asked: dict[str, int], wanted: tuple[int, int, int]) -> None:
    found = workload(LIMIT, **{"context": None, "isl": None, "osl": None, **asked})
    assert (found.context, found.isl, found.osl) == wanted
    assert found.preset == ""


@given(
    st.one_of(st.none(), st.integers(1, LIMIT)),
    st.one_of(st.none(), st.integers(1, LIMIT)),
    st.one_of(st.none(), st.integers(1, LIMIT)),
    st.sampled_from((None, RAG, LONG)),
    st.booleans(),
    st.floats(0, 0.99),
)
def test_what_comes_out_is_a_request_or_an_error_with_a_hint(
    context: int | None,
    isl: int | None,
    osl: int | None,
    named: NamedWorkload | None,
    reserved: bool,
    rate: float,
) -> None:
    found, hint = None, ""
    try:
        found = workload(
            LIMIT,
            context=context,
            isl=isl,
            osl=osl,
            named=named,
            reserved=reserved,
            prefix_hit_rate=rate,
        )
    except InputError as error:
        hint = error.hint or ""
    if found is None:
        assert hint
        return
    assert 1 <= found.isl + found.osl <= found.cached_tokens <= found.context <= LIMIT
    assert found.cached_tokens == (found.context if reserved else found.isl + found.osl)
    assert 0 <= found.cached < found.isl
    assert found.isl < found.decode_length < found.isl + found.osl
    for value, own in ((context, found.context), (isl, found.isl), (osl, found.osl)):
        assert value is None or value == own


def test_a_model_that_is_too_short_for_a_name() -> None:
    with pytest.raises(InputError, match="9216 exceeds the model's 1024 positions") as caught:
        workload(1024, context=None, isl=None, osl=None, named=RAG)
    assert "isl and osl of at most 1024 together" in (caught.value.hint or "")
    assert workload(1024, context=None, isl=512, osl=512, named=RAG).context == 1024
    assert workload(1024, context=None, isl=None, osl=None, named=LONG).context == 1024


def test_the_context_of_a_file_holds_until_lengths_are_given() -> None:
    named = NamedWorkload("n", "t", "s", 100, 50, 4096)
    assert workload(LIMIT, context=None, isl=None, osl=None, named=named).context == 4096
    assert workload(LIMIT, context=None, isl=9000, osl=None, named=named).context == 9050
    assert workload(LIMIT, context=8000, isl=None, osl=None, named=named).context == 8000


@pytest.mark.parametrize(
    ("own", "limit", "context"), [(4096, 100_000, 4096), (4096, 1024, 1024), (None, 5000, 5000)]
)
def test_prompts_that_fill_the_context_end_with_it_or_the_models_positions(
    own: int | None, limit: int, context: int
) -> None:
    named = NamedWorkload("n", "t", "s", osl=64, context=own, fills_context=True)
    found = workload(limit, context=None, isl=None, osl=None, named=named)
    assert (found.context, found.isl, found.osl) == (context, context - 64, 64)


def test_of_a_short_context_an_answer_is_an_eighth_and_no_more_than_by_default() -> None:
    for context, osl in ((7, 1), (80, 10), (8192, 1024), (100_000, 1024)):
        found = workload(LIMIT, context=context, isl=None, osl=None)
        assert (found.isl, found.osl) == (context - osl, osl)


def test_every_default_that_moves_the_answer_is_told() -> None:
    plain = workload(LIMIT, context=4096, isl=None, osl=None)
    assert plain.assumed == "osl 512 = min(1024, context/8)"
    assert workload_notes(plain, None) == ()
    assert slot_note(plain, None, "vllm") == slot_note(plain, "full", "vllm") == ()
    short = workload(LIMIT, context=4096, isl=100, osl=50)
    kept = workload(LIMIT, context=4096, isl=100, osl=50, reserved=True)
    assert (
        slot_note(short, None, "vllm")[0][1]
        == "150 tokens of cache for every sequence, its isl + osl"
    )
    assert slot_note(kept, "full", "vllm")[0][1:] == (
        "4096 tokens of cache for every sequence",
        "asked for",
    )
    assert "llama.cpp divides" in slot_note(kept, None, "llama.cpp")[0][2]
    hits = workload(LIMIT, context=None, isl=None, osl=256, named=RAG, prefix_hit_rate=0.5)
    assert [note[:2] for note in workload_notes(hits, RAG)] == [
        ("workload", "rag: A long prompt of retrieved text, a short answer; osl 256 given"),
        ("prefix cache", "4096 of 8192 prompt tokens are not computed"),
    ]
