"""Published rows: each has a known format, metric, model and source; which of them is nearest."""

from collections.abc import Sequence
from dataclasses import replace
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme
from planner.models.catalog import resolve_model
from planner.quality.measured_models import Subject, measured_models, plain_name, subject_of
from planner.quality.neighbours import (
    ACCURACIES,
    PLAIN,
    Measured,
    largest_drop,
    measured_metrics,
    measured_rows,
    nearest_cache,
    nearest_weights,
    publisher,
)

UNITS = {*ACCURACIES, "pt", "ppl", "% rel"}


def row(
    model: str = "Qwen3-8B",
    scheme: str = "nvfp4",
    kv_layout: str = "bf16",
    metric: str = "MMLU",
    delta: float = -1.0,
    unit: str = "%",
    note: str = "",
    source: str = "them/here doc",
    **more: float,
) -> Measured:
    return Measured(
        model,
        scheme,
        kv_layout,
        metric,
        unit,
        "bf16",
        "70",
        str(70 + delta),
        delta,
        note,
        source,
        **more,
    )


def of(name: str) -> Subject:
    return subject_of(resolve_model(name))


def test_every_row_has_a_format_a_metric_a_model_a_source_and_a_sign() -> None:
    rows = measured_rows()
    assert len(rows) > 120
    for item in rows:
        assert item.source.strip()
        assert publisher(item.source)
        assert scheme(item.scheme).id == item.scheme
        assert scheme(item.baseline_scheme).id == item.baseline_scheme
        assert kv_layout(item.kv_layout).id == item.kv_layout
        assert not {item.scheme, item.kv_layout} <= set(PLAIN), "nothing was changed"
        assert item.metric in measured_metrics()
        assert item.unit in UNITS
        assert plain_name(item.model) in measured_models()
        if item.unit != "% rel":
            change = float(item.value) - float(item.baseline)
            assert item.delta == pytest.approx(change, abs=2e-3), item


def test_tables_hold_nothing_that_no_row_uses() -> None:
    rows = measured_rows()
    assert {plain_name(r.model) for r in rows} == set(measured_models())
    assert {r.metric for r in rows} == set(measured_metrics())


def test_no_baseline_was_copied() -> None:
    """Equal numbers in a list of references are often placeholders."""
    copied = [r for r in measured_rows() if r.delta == 0 and "references" in r.source]
    assert copied == []


def test_formats_that_only_look_alike_are_left_out() -> None:
    """E2M1 with power-of-two scales is no nvfp4; a mix is no format."""
    rows = measured_rows()
    assert not [r for r in rows if "sglang docs" in r.source and r.kv_layout == "nvfp4"]
    assert not [r for r in rows if r.model == "Qwen3.6-35B-A3B" and r.scheme == "nvfp4"]
    [fp8] = [r for r in rows if r.model == "Qwen3.6-27B" and r.scheme.startswith("fp8")]
    assert fp8.scheme == "fp8-block"


def test_perplexity_that_rises_is_a_loss() -> None:
    assert row(metric="WikiText PPL", unit="ppl", delta=0.1).worsening == 0.1
    assert row(delta=-1.0).worsening == 1.0
    assert all(r.worsening > 0 for r in measured_rows() if r.unit == "ppl")


def test_points_and_noise_share_a_unit() -> None:
    percent = replace(row(questions=10_000), baseline="50", value="50")
    share = replace(percent, unit="frac", baseline="0.5", value="0.5", delta=-0.01)
    assert share.points == pytest.approx(-1.0)
    assert percent.noise == pytest.approx(100 * (2 * 0.25 / 10_000) ** 0.5)
    assert share.noise is not None
    assert percent.noise is not None
    assert isclose(share.noise, percent.noise)
    assert row(stderr=0.3, questions=10).noise == 0.3
    assert row().noise is None
    assert row(metric="PPL", unit="% rel").points is None
    assert row(questions=250, delta=-1).change.startswith("MMLU −1.0 ± 4.")


@pytest.mark.parametrize(
    ("near", "far"),
    [
        (row(delta=-1), row("Qwen3-235B-A22B", delta=-9)),
        (row(kv_layout="fp8"), row()),
        (row(), row(kv_layout="nvfp4")),
        (row(), row(metric="MMLU-Pro", delta=-9)),
        (row(metric="avg 12 tasks"), row(metric="GSM8K", delta=-9, stderr=0.1)),
        (row(), row(note="calibrated", delta=-9)),
        (row(stderr=0.5), row(stderr=0.9, delta=-9)),
        (row(stderr=0.5), row(delta=-9)),
        (row(delta=-2), row(delta=-1)),
    ],
)
def test_the_nearer_row_is_taken_whatever_the_order(near: Measured, far: Measured) -> None:
    subject = of("qwen3-8b")
    assert nearest_weights(subject, "nvfp4", "fp8", [near, far]) is near
    assert nearest_weights(subject, "nvfp4", "fp8", [far, near]) is near


def test_as_dense_as_it_is_before_as_large() -> None:
    dense, sparse = row("Qwen3-8B"), row("Qwen3-235B-A22B")
    assert nearest_weights(of("qwen3-30b-a3b"), "nvfp4", rows=[dense, sparse]) is sparse
    assert nearest_weights(of("qwen3-32b"), "nvfp4", rows=[sparse, dense]) is dense


@pytest.mark.parametrize("other", ["nvfp4-w4a16", "mxfp4", "fp8-block-ue8m0", "bf16"])
def test_a_row_stands_for_its_own_format_alone(other: str) -> None:
    assert nearest_weights(of("qwen3-8b"), other, rows=[row()]) is None
    assert (
        nearest_cache(of("qwen3-8b"), "fp8-ds-mla", [row(scheme="bf16", kv_layout="fp8")]) is None
    )


def test_a_cache_is_judged_beside_weights_left_alone() -> None:
    alone = row(scheme="bf16", kv_layout="fp8", metric="GSM8K")
    both = row(scheme="nvfp4", kv_layout="fp8")
    long = row(scheme="bf16", kv_layout="fp8", metric="RULER-128K")
    assert nearest_cache(of("qwen3-8b"), "fp8", [both]) is None
    assert nearest_cache(of("qwen3-8b"), "fp8", [both, alone]) is alone
    assert nearest_cache(of("qwen3-8b"), "fp8", [alone, long]) is long, "long contexts first"


def test_a_task_that_lost_far_more_is_told() -> None:
    own, worst = row(delta=-2), row(metric="GSM8K", delta=-9)
    assert largest_drop(own, [own, worst]) is worst
    assert largest_drop(own, [own, row(metric="GSM8K", delta=-3.5)]) is None
    assert largest_drop(row(delta=0.5), [row(metric="GSM8K", delta=-0.7)]) is None
    assert largest_drop(own, [row(metric="GSM8K", delta=-9, source="others/there")]) is None
    assert largest_drop(own, [row(metric="CNN/DM ROUGE-1", unit="pt", delta=-9)]) is None


@given(st.permutations(range(6)), st.sampled_from(["fp8-block", "nvfp4", "int4-w4a16", "mxfp4"]))
def test_the_choice_does_not_hang_on_the_order_of_the_table(
    order: Sequence[int], name: str
) -> None:
    rows = [r for r in measured_rows() if r.scheme == name][:6]
    shuffled = [rows[i] for i in order if i < len(rows)]
    assert nearest_weights(of("qwen3-8b"), name, rows=shuffled) == nearest_weights(
        of("qwen3-8b"), name, rows=rows
    )
