"""Published acceptance: rows with a source, the rate that each implies, which of them count."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner.throughput.acceptance as module
from planner.base.errors import InputError
from planner.throughput.acceptance import (
    acceptance,
    implied_rate,
    measured_draft_counts,
    measured_yields,
)
from planner.throughput.speculation import accepted_tokens

DATA = Path(module.__file__).parent / "data" / "acceptance.csv"


def test_every_row_has_a_source_and_a_date() -> None:
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(measured_yields()) >= 100
    for row in rows:
        assert row["source"], row
        assert row["date"][:2] == "20", row
        assert row["kind"] in ("mtp", "eagle", "draft-model")
        assert (row["kind"] == "draft-model") == bool(row["draft"])


@given(st.integers(1, 16), st.floats(0.0, 1.0))
def test_the_implied_rate_gives_the_yield_back(count: int, rate: float) -> None:
    accepted = accepted_tokens(count, rate)
    assert accepted_tokens(count, implied_rate(count, accepted)) == pytest.approx(accepted)


def test_two_prediction_layers_of_deepseek_are_accepted_as_reported() -> None:
    found = acceptance("mtp", "deepseek-v3", "", 1)
    assert (found.low, found.high) == pytest.approx((0.85, 0.90))
    assert found.low <= found.value <= found.high
    assert "2412.19437" in found.source


def test_the_rate_of_one_token_is_the_accepted_drafts() -> None:
    """With one token drafted the yield is 1 + α."""
    for row in measured_yields():
        if row.draft_tokens == 1:
            assert row.rate == pytest.approx(row.accepted - 1.0)


def test_own_measurements_go_before_those_of_others() -> None:
    coding = acceptance("eagle", "qwen3-8b", "agent", 3)
    chat = acceptance("eagle", "qwen3-8b", "chat", 3)
    assert coding.value > chat.value  # code is drafted better than conversation
    assert coding.source.startswith("measured on qwen3-8b:")
    other = acceptance("eagle", "llama-3.1-70b", "chat", 3)
    assert other.source.startswith("measured on llama-3.1-8b")
    assert other.low < other.high


def test_a_single_measurement_has_the_band_of_its_neighbours() -> None:
    alone = acceptance("eagle", "gpt-oss-20b", "chat", 2)
    assert alone.low < alone.value < alone.high


@given(
    st.sampled_from(["mtp", "eagle"]),
    st.sampled_from(["deepseek-v3", "qwen3-8b", "none"]),
    st.sampled_from(["", "chat", "agent", "rag", "reasoning", "batch"]),
    st.integers(1, 16),
)
def test_values_lie_in_their_bands(kind: str, model: str, work: str, count: int) -> None:
    found = acceptance(kind, model, work, count)
    assert 0 < found.low <= found.value <= found.high < 1


def test_an_unmeasured_pair_is_not_guessed() -> None:
    with pytest.raises(InputError, match=r"no acceptance is known of qwen3-0\.6b") as error:
        acceptance("draft-model", "qwen3-32b", "", 3, "qwen3-0.6b")
    assert "--acceptance" in error.value.hint
    assert measured_draft_counts("draft-model", "qwen3-32b", "qwen3-0.6b") == ()


def test_numbers_are_those_of_the_model_or_of_several_others() -> None:
    assert measured_draft_counts("mtp", "deepseek-v3") == (1,)
    assert measured_draft_counts("mtp", "qwen3.5-397b-a17b") == tuple(range(1, 9))
    assert measured_draft_counts("mtp", "glm-4.5") == (1, 3, 4, 5)  # two models have each
    far = acceptance("mtp", "deepseek-v3", "", 3)
    assert far.low < 0.75 < far.high  # of three models


def test_one_other_model_alone_does_not_make_a_narrow_band() -> None:
    alone = acceptance("mtp", "deepseek-v3", "", 6)
    assert alone.source.startswith("measured on qwen3.5-397b-a17b")
    assert alone.high - alone.low > 0.05


@pytest.mark.parametrize("count", [7, 8])
def test_the_band_of_one_other_model_is_what_it_does_with_a_token_more_or_less(count: int) -> None:
    """Six tokens of prediction layers and more were measured on one model alone."""
    near = [
        implied_rate(row.draft_tokens, row.accepted)
        for row in measured_yields()
        if row.kind == "mtp" and not row.draft and abs(row.draft_tokens - count) <= 1
    ]
    found = acceptance("mtp", "deepseek-v3", "", count)
    assert (found.low, found.high) == pytest.approx((min(near), max(near)))
    assert found.low < found.value < found.high
