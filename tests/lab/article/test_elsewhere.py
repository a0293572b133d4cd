"""Accuracies that others published, as claims use them."""

import pytest

from planner.lab.article.facts import lost, measured_losses


def test_measured_losses_are_accuracies_of_wide_caches() -> None:
    found = measured_losses(("fp8-tensor", "fp8-channel", "fp8-block"))
    assert [lost(row) for row in found] == sorted(lost(row) for row in found)
    assert {row.unit for row in found} == {"%", "frac"}
    assert "nvfp4" not in {row.kv_layout for row in found}
    worst = found[-1]
    assert lost(worst) == pytest.approx(
        (float(worst.baseline) - float(worst.value)) / float(worst.baseline), rel=1e-6
    )
