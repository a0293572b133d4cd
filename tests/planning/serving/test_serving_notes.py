"""What a served deployment takes for granted: given and default are told apart."""

from dataclasses import replace

import pytest
from support.questions import question_of

from planner.planning.engines.prefill_chunks import COMMON
from planner.planning.plan.notes import written
from planner.planning.serving.deployment import Options
from planner.planning.serving.notes import option_notes, serving_notes

PLAIN = Options(isl=900, osl=100, chunk=COMMON, cache_tokens=1000.0)


def told(options: Options, **changes: object) -> dict[str, tuple[str, str]]:
    given: dict[str, object] = {
        "acceptance": None,
        "chunk_given": False,
        "cache_given": False,
        "stream_interval": 1,
        "pooled": False,
        **changes,
    }
    return {
        note.key: (note.value, note.reason)
        for note in written(option_notes(question_of(), options, **given))
    }  # type: ignore[arg-type]


def test_defaults_are_called_defaults() -> None:
    notes = told(PLAIN)
    assert notes["prefill chunk"] == (f"{COMMON} tokens", "common engine default")
    assert notes["stream interval"] == ("1 tokens", "default")
    assert notes["prefix cache"] == ("0% of a prompt is found", "no hits assumed")
    assert notes["requests"][0] == "steady state"
    assert notes["speculation"] == ("none", "no draft given")
    assert not {"prefill workers", "two micro-batches"} & set(notes)


@pytest.mark.parametrize(
    ("options", "changes", "key", "value"),
    [
        (replace(PLAIN, chunk=512), {"chunk_given": True}, "prefill chunk", "512 tokens"),
        (replace(PLAIN, requests=64.0), {}, "requests", "64 in the run, all slots filled at once"),
        (PLAIN, {"stream_interval": 20}, "stream interval", "20 tokens"),
        (PLAIN, {"cache_given": True}, "cache", "1,000 tokens a rank"),
    ],
)
def test_what_is_given_is_called_given(
    options: Options, changes: dict[str, object], key: str, value: str
) -> None:
    assert told(options, **changes)[key] == (value, "given")


def test_drafts_pools_and_overlap() -> None:
    notes = told(
        replace(PLAIN, draft=3, draft_layers=2, accepted=2.5, overlap=True),
        acceptance=0.7,
        pooled=True,
    )
    assert notes["speculation"] == (
        "2.50 tokens a step of 3 drafted",
        "acceptance 0.7 a token, independent; a drafted token costs 2 of 24 layers",
    )
    assert {"prefill workers", "two micro-batches"} <= set(notes)


def test_a_layout_is_told_where_it_was_searched() -> None:
    searched = {n.key: n.reason for n in written(serving_notes(question_of(), candidates=12))}
    assert searched["layout"].endswith("12 layouts and batches")
    assert "kernels" in searched
    given = written(serving_notes(replace(question_of(), engine="vllm"), candidates=None))
    assert not {"layout", "kernels"} & {n.key for n in given}
