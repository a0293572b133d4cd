"""What the loader refuses, one rule a test, and what it makes of a profile of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.hardware.loader import load_profile, parse_profile


def number(value: str, unit: str, kind: str = "datasheet", date: str = "2026-01-02") -> str:
    return (
        f'{{ value = {value}, unit = "{unit}", source = "mine", date = "{date}", kind = "{kind}" }}'
    )


TOY = f"""
id = "toy-9"
name = "Toy 9"
kind = "gpu"
architecture = "Toy"

[memory]
type = "HBM"
label = {number("64_000_000_000", "B", "recalled", "2026-01")}
capacity = {number("64_000_000_000", "B", "measured", "2026")}
usable_fraction = {number("0.9", "1", "derived")}
bandwidth = {number("2e12", "B/s")}

[rates.tensor-core.bf16]
dense = {number("100e12", "FLOP/s")}

[achieved.bf16]
compute_fraction = {number("0.7, low = 0.6, high = 0.8", "1", "measured")}
bandwidth_fraction = {number("0.8", "1", "measured")}
floor_seconds = {number("3e-6", "s", "fitted")}

[sources]
mine = {{ title = "My bench", date = "2026-01-02" }}
"""

Refused = Callable[..., DataError]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    def check(old: str, new: str, *, stem: str = "toy-9") -> DataError:
        assert TOY.count(old) >= 1, "the edit would change nothing"
        path = tmp_path / f"{stem}.toml"
        path.write_text(TOY.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(DataError) as caught:
            load_profile(path)
        assert str(path) in caught.value.message
        assert caught.value.hint
        return caught.value

    return check


def test_a_minimal_profile_loads(tmp_path: Path) -> None:
    path = tmp_path / "toy-9.toml"
    path.write_text(TOY, encoding="utf-8")
    toy = load_profile(path)
    rate = toy.rate("bf16")
    assert rate is not None
    assert (rate.unit, rate.dense.value) == ("tensor-core", 100e12)
    assert toy.achieved["bf16"].compute_fraction.low == 0.6
    assert list(toy.achieved) == ["bf16"]
    assert toy.links.scale_up_bytes_per_s is None
    assert (toy.devices_per_node, toy.scale_up_devices, toy.status) == (1, 1, "released")
    assert toy.vector_fp32_flop_per_s is None
    assert toy.why_not("fp8") == "toy-9 publishes no fp8 rate"
    assert toy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("missing", ["unit", "source", "date", "kind", "value"])
def test_a_number_needs_all_of_its_provenance(refused: Refused, missing: str) -> None:
    fields = {
        "value": "2e12",
        "unit": '"B/s"',
        "source": '"mine"',
        "date": '"2026-01-02"',
        "kind": '"datasheet"',
    }
    whole = "{ " + ", ".join(f"{k} = {v}" for k, v in fields.items()) + " }"
    part = "{ " + ", ".join(f"{k} = {v}" for k, v in fields.items() if k != missing) + " }"
    error = refused(f"bandwidth = {whole}", f"bandwidth = {part}")
    assert f"memory.bandwidth.{missing}: missing" in error.message
    assert "unit = " in error.hint


def test_a_bare_number_is_refused(refused: Refused) -> None:
    error = refused('type = "HBM"', 'type = "HBM"\ndriver = 64_000')
    assert "memory.driver: 64000 is no table" in error.message
    assert "source = " in error.hint


def test_a_bare_rate_is_refused(refused: Refused) -> None:
    error = refused(
        "[rates.tensor-core.bf16]",
        "[rates.tensor-core.fp16]\ndense = 1e14\n[rates.tensor-core.bf16]",
    )
    assert "rates.tensor-core.fp16.dense" in error.message
    assert "source = " in error.hint


def test_an_undeclared_source(refused: Refused) -> None:
    error = refused(
        'value = 2e12, unit = "B/s", source = "mine"', 'value = 2e12, unit = "B/s", source = "mien"'
    )
    assert "memory.bandwidth.source: 'mien' is not declared" in error.message
    assert "mine" in error.hint


@pytest.mark.parametrize("value", ["0.5", "0.9"])
def test_a_value_outside_its_range(refused: Refused, value: str) -> None:
    error = refused("value = 0.7, low = 0.6", f"value = {value}, low = 0.6")
    assert "achieved.bf16.compute_fraction.value" in error.message
    assert "outside low 0.6 … high 0.8" in error.message


def test_sparse_below_dense(refused: Refused) -> None:
    error = refused("[achieved.bf16]", f"sparse = {number('50e12', 'FLOP/s')}\n[achieved.bf16]")
    assert "rates.tensor-core.bf16.sparse" in error.message
    assert "swapped" in error.hint


def test_an_unknown_unit(refused: Refused) -> None:
    error = refused('unit = "FLOP/s"', 'unit = "TFLOPS"')
    assert "rates.tensor-core.bf16.dense.unit" in error.message
    assert "'TFLOPS'" in error.message


def test_a_unit_that_measures_something_else(refused: Refused) -> None:
    error = refused('value = 2e12, unit = "B/s"', 'value = 2e12, unit = "B"')
    assert "memory.bandwidth.unit: 'B' does not measure this" in error.message
    assert "'B/s'" in error.hint


def test_integer_formats_count_operations(refused: Refused) -> None:
    error = refused("[rates.tensor-core.bf16]", "[rates.tensor-core.int8]")
    assert "rates.tensor-core.int8.dense.unit" in error.message
    assert "'OP/s'" in error.hint


def test_id_differs_from_the_file(refused: Refused) -> None:
    error = refused("Toy 9", "Toy 9", stem="other")
    assert "id: 'toy-9' differs from the file name 'other'" in error.message


@pytest.mark.parametrize(
    ("old", "new", "key", "near"),
    [
        ('kind = "gpu"', 'kind = "gpu"\narchitectur = "x"', "architectur", "architecture"),
        ('type = "HBM"', 'type = "HBM"\nunifed = true', "memory.unifed", "unified"),
        (
            "value = 0.7, low",
            "value = 0.7, lowe = 1, low",
            "achieved.bf16.compute_fraction.lowe",
            "low",
        ),
        (
            "[rates.tensor-core.bf16]\n",
            "[rates.tensor-core.bf16]\nspars = 1\n",
            "rates.tensor-core.bf16.spars",
            "sparse",
        ),
    ],
)
def test_an_unknown_key_names_its_neighbour(
    refused: Refused, old: str, new: str, key: str, near: str
) -> None:
    error = refused(old, new)
    assert f"{key}: unknown key" in error.message
    assert near in error.hint


def test_an_unknown_format(refused: Refused) -> None:
    error = refused("[rates.tensor-core.bf16]", "[rates.tensor-core.bf61]")
    assert "'bf61' is no number format" in error.message
    assert "bf16" in error.hint


def test_an_unknown_kernel_class(refused: Refused) -> None:
    error = refused("[achieved.bf16]", "[achieved.fp8-blok]")
    assert "'fp8-blok' is no kernel class" in error.message
    assert "fp8-block" in error.hint


def test_a_fraction_above_one(refused: Refused) -> None:
    error = refused("value = 0.7, low = 0.6, high = 0.8", "value = 70, low = 60, high = 80")
    assert "exceeds 1" in error.message


def test_a_figure_that_is_not_positive(refused: Refused) -> None:
    assert "is not positive" in refused("value = 100e12", "value = 0").message


def test_a_fraction_of_a_byte(refused: Refused) -> None:
    assert "whole number of bytes" in refused("value = 64_000_000_000", "value = 0.5").message


def test_not_a_number(refused: Refused) -> None:
    assert "memory.bandwidth.value" in refused("value = 2e12", "value = nan").message


def test_a_number_written_as_text(refused: Refused) -> None:
    assert "memory.bandwidth.value" in refused("value = 2e12", 'value = "2e12"').message


def test_a_kind_that_does_not_exist(refused: Refused) -> None:
    error = refused('kind = "fitted"', 'kind = "guessed"')
    assert "achieved.bf16.floor_seconds.kind" in error.message
    assert "'guessed'" in error.message


def test_a_date_in_another_order(refused: Refused) -> None:
    assert ".date" in refused('date = "2026-01-02"', 'date = "02.01.2026"').message


def test_a_format_both_rated_and_unsupported(refused: Refused) -> None:
    error = refused("[achieved.bf16]", '[unsupported]\nbf16 = "no"\n\n[achieved.bf16]')
    assert "unsupported.bf16: bf16 has a rate too" in error.message


def test_a_scale_up_domain_without_a_link(refused: Refused) -> None:
    error = refused('architecture = "Toy"', 'architecture = "Toy"\nscale_up_devices = 8')
    assert "links.scale_up: missing, yet scale_up_devices is 8" in error.message


@pytest.mark.parametrize("link", ["scale_up", "scale_out"])
def test_a_link_without_its_floor(refused: Refused, link: str) -> None:
    error = refused("[sources]", f"[links]\n{link} = {number('1e9', 'B/s')}\n\n[sources]")
    assert f"links.{link}_floor" in error.message


def test_no_rate_at_all(refused: Refused) -> None:
    start = TOY.index("[rates")
    error = refused(TOY[start : TOY.index("[achieved")], "")
    assert "rates: missing" in error.message


def test_no_toml(refused: Refused) -> None:
    assert "not valid TOML" in refused('id = "toy-9"', "id: toy-9").message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_profile(tmp_path / "absent.toml")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=st.floats(1e-3, 1, allow_nan=False), low=st.floats(1e-3, 1), high=st.floats(1e-3, 1))
def test_ranges_are_accepted_exactly_when_they_hold(value: float, low: float, high: float) -> None:
    text = TOY.replace(
        "value = 0.7, low = 0.6, high = 0.8", f"value = {value!r}, low = {low!r}, high = {high!r}"
    )
    path = Path("toy-9.toml")
    if low <= value <= high:
        reached = parse_profile(text.encode(), path=path).achieved["bf16"].compute_fraction
        assert (reached.value, reached.low, reached.high) == (value, low, high)
    else:
        with pytest.raises(DataError, match="outside low"):
            parse_profile(text.encode(), path=path)
