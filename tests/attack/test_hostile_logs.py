"""Logs of memory with hundreds of digits where a length, a count or a total stands, and with
settings that leave no room for a cache."""

from __future__ import annotations

import pytest
from support.told_rows import LOG, OTHERS, UNITS, WHOLE

from planner.lab.validation.memory_predict import predict_rows
from planner.lab.validation.records import REASONS

LONG = "9" * 400
LOGS = (
    *(
        LOG | {"quantity": name, "value": value, "unit": UNITS.get(name, "GiB")}
        for name, value in WHOLE.items()
    ),
    *(LOG | one for one in OTHERS),
)
CELLS = (
    ("max_model_len", f"{LONG} x 2 seqs"),
    ("max_model_len", f"2 x {LONG} seqs"),
    ("max_model_len", f"{2**52} x {2**52} seqs"),
    ("notes", f"max_total_tokens = {LONG}"),
    ("max_num_batched_tokens", str(2**53)),
    ("block_size", str(2**53)),
    ("device", "x (0.000001 GB free)"),
    ("max_model_len", str(2**53)),
    ("n_devices", LONG),
    ("value", "1e-9"),
)


@pytest.mark.parametrize(("column", "cell"), CELLS)
def test_every_row_is_in_its_interval_or_has_a_reason(column: str, cell: str) -> None:
    for log in LOGS:
        for one in predict_rows("memory", [log | {column: cell}]):
            if one.predicted is None:
                assert one.reason in REASONS
            else:
                assert 0 <= one.low <= one.predicted <= one.high < float("inf")


@pytest.mark.parametrize(("column", "cell"), CELLS[:4])
def test_a_count_beyond_any_is_malformed(column: str, cell: str) -> None:
    assert {one.reason for one in predict_rows("memory", [LOG | {column: cell}])} == {
        "malformed row"
    }


@pytest.mark.parametrize(
    ("quantity", "unit", "reason"),
    [
        ("kv_blocks", "GiB", "malformed row"),
        ("max_concurrency", "MiB", "malformed row"),
        ("kv_gib_per_gpu", "tokens", "malformed row"),
        ("weights_gib_per_gpu", "x", "malformed row"),
        ("kv_blocks", "blocks", "no overheads"),
        ("something", "blocks", "quantity not predicted"),
    ],
)
def test_a_count_has_no_bytes_and_bytes_are_no_count(quantity: str, unit: str, reason: str) -> None:
    found = predict_rows("memory", [LOG | {"quantity": quantity, "unit": unit, "value": "9"}])
    assert found[0].reason == reason


def test_a_pool_that_nothing_is_left_for_is_none_not_less() -> None:
    found = predict_rows(
        "memory",
        [LOG | {"quantity": "kv_gib_per_gpu", "value": "5", "max_num_batched_tokens": str(2**53)}],
    )
    predicted = next(one for one in found if one.mode == "predicted")
    assert predicted.predicted == predicted.low == 0
    assert predicted.high > 0
