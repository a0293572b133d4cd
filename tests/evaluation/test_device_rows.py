"""Published speeds on devices that nobody fitted: rows are whole, dense ones are met."""

from pathlib import Path

import pytest
from support.evidence_pages import assert_stored

from evaluation.devices.page import device_page
from evaluation.devices.rows import DECODE, PROMPT, device_rows, predicted_speed
from planner.hardware.catalog import resolve_device
from planner.models.catalog import model_ids

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "devices.md"


def test_every_row_has_its_source_and_is_known() -> None:
    rows = device_rows()
    assert len({(r.device, r.model, r.scheme, r.metric, r.source) for r in rows}) == len(rows)
    for row in rows:
        assert row.source
        assert row.date
        assert row.metric in (DECODE, PROMPT)
        assert row.model in model_ids()
        assert resolve_device(row.device).id == row.device
        assert not resolve_device(row.device).fitted


@pytest.mark.parametrize("device", ["rtx-3090", "strix-halo"])
def test_dense_models_are_inside_the_interval(device: str) -> None:
    for row in device_rows():
        if (row.device, row.model, row.metric) == (device, "llama-3.1-8b", DECODE):
            assert predicted_speed(row).holds(row.value), row


@pytest.mark.exhaustive
def test_the_page_is_what_the_rows_say() -> None:
    assert_stored(PAGE, device_page())
