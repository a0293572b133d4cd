"""A device in five numbers: what its class gives, what is said of it, and every error at once."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.cli.main import run
from planner.hardware.catalog import device_ids, resolve_device
from planner.hardware.classes import class_names
from planner.hardware.loader import load_profile
from planner.hardware.profile import DeviceProfile
from planner.hardware.short import EXAMPLES, read_figure
from planner.hardware.template import device_template
from planner.planning.question.device_notes import INHERITED, RECALLED, device_notes
from planner.throughput.calibration import PRIOR

FIVE = """
name = "My card"
inherits = "gpu-gddr"
memory = "24 GB"
bandwidth = "900 GB/s"
rates.bf16 = "165 TFLOPS"
rates.int8 = "330 TOPS"
"""
Load = Callable[..., DeviceProfile]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(text: str, name: str = "mine") -> DeviceProfile:
        path = tmp_path / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return load_profile(path)

    return read


def wrong(load: Load, text: str, name: str = "mine") -> list[str]:
    """Every line of the error that ``text`` makes."""
    with pytest.raises(DataError) as caught:
        load(text, name)
    error = caught.value
    assert error.hint
    return [error.message, *error.details]


def test_five_numbers_make_a_device(load: Load) -> None:
    mine = load(FIVE)
    assert (mine.id, mine.kind, mine.memory_type, mine.unified_memory) == (
        "mine",
        "gpu",
        "GDDR",
        False,
    )
    assert mine.bandwidth_bytes_per_s.value == 900e9
    assert mine.label_bytes.value == mine.capacity_bytes.value == 24_000_000_000
    bf16, int8 = mine.rate("bf16"), mine.rate("int8")
    assert bf16 is not None
    assert int8 is not None
    assert (bf16.dense.value, bf16.dense.unit, bf16.dense.kind) == (165e12, "FLOP/s", "recalled")
    assert (int8.dense.value, int8.dense.unit) == (330e12, "OP/s")
    assert mine.classes == ("gpu-gddr",)
    assert {
        "achieved.bf16.compute_fraction",
        "memory.usable_fraction",
        "rates.vector-unit.fp32",
        "conversion.int4",
    } <= set(mine.taken)


def test_what_has_no_rate_is_not_inherited(load: Load) -> None:
    mine = load(FIVE)
    assert "int8" in mine.achieved
    assert not {"fp8-tensor", "fp8-block", "nvfp4", "moe-fp8", "moe-nvfp4"} & set(mine.achieved)
    assert mine.rate("fp8") is None
    assert mine.power_watts is None
    assert mine.price_usd_per_hour is None
    assert mine.links.scale_up_bytes_per_s is None


def test_inherited_fractions_are_those_of_devices_like_it(load: Load) -> None:
    """Of three devices, the median; its range holds all of theirs."""
    mine = load(FIVE).achieved
    theirs = [resolve_device(name) for name in ("l40s", "rtx-4090", "rtx-pro-6000")]
    for name, reached in mine.items():
        for field in ("compute_fraction", "bandwidth_fraction", "floor_seconds"):
            own = getattr(reached, field)
            values = sorted(getattr(d.achieved[name], field).value for d in theirs)
            assert own.value == pytest.approx(values[1], rel=0.01), (name, field)
            assert own.low <= values[0] * 1.01
            assert own.high >= values[-1] * 0.99
            assert "class gpu-gddr" in own.note


def test_the_interval_holds_devices_that_a_class_did_not_see() -> None:
    """Fractions that were measured, each device left out in turn: the median of the others is off
    by no more than the interval of a prior time in nine of ten, in four of five by ×/÷ 1.25."""
    missed = []
    for ids in (
        ("a100-sxm", "h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm"),
        ("l40s", "rtx-pro-6000"),
    ):
        devices = [resolve_device(name) for name in ids]
        for device in devices:
            rest = [one for one in devices if one is not device]
            for name, reached in device.achieved.items():
                for field in ("compute_fraction", "bandwidth_fraction"):
                    own = getattr(reached, field)
                    others = [
                        getattr(one.achieved[name], field).value
                        for one in rest
                        if name in one.achieved
                    ]
                    if own.kind == "measured" and others:
                        missed.append(abs(log(own.value / median(others))))
    missed.sort()
    assert len(missed) > 70
    assert missed[int(0.8 * len(missed))] < log(1.25)
    assert missed[int(0.9 * len(missed))] < 1.2816 * PRIOR.sigma


def test_a_measured_fraction_scales_those_that_are_inherited(load: Load) -> None:
    plain = load(FIVE)
    half = plain.achieved["bf16"].compute_fraction.value / 2
    mine = load(FIVE + f'achieved.bf16.compute_fraction = "{half}"\n')
    for name in ("w4a16", "moe-bf16", "attention-prefill", "int8"):
        assert mine.achieved[name].compute_fraction.value == pytest.approx(
            plain.achieved[name].compute_fraction.value / 2, rel=0.01
        ), name
        assert mine.achieved[name].floor_seconds.value == plain.achieved[name].floor_seconds.value
    assert mine.achieved["attention-decode"] == plain.achieved["attention-decode"]


def test_own_figures_stand_before_those_of_the_class(load: Load) -> None:
    mine = load(
        FIVE + 'kind = "soc"\nrates.fp32 = "20 TFLOPS"\n'
        'achieved.elementwise.floor_seconds = "9 us"\n'
        '[links]\nscale_up = "32 GB/s"\nhost = "16 GB/s"\n'
    )
    assert mine.kind == "soc"
    assert mine.vector_fp32_flop_per_s is not None
    assert mine.vector_fp32_flop_per_s.value == 20e12
    assert mine.achieved["elementwise"].floor_seconds.value == 9e-6
    assert mine.links.scale_up_floor_seconds is not None
    assert mine.links.scale_out_floor_seconds is None
    assert "rates.vector-unit.fp32" not in mine.taken


def test_a_class_of_ones_own_may_stand_between(load: Load, tmp_path: Path) -> None:
    (tmp_path / "slow.toml").write_text(
        'id = "slow"\ninherits = "gpu-gddr"\n[achieved.bf16]\ncompute_fraction = { value = 0.1, '
        'unit = "1", source = "me", date = "2026", kind = "measured" }\n'
        'bandwidth_fraction = { value = 0.2, unit = "1", source = "me", date = "2026", kind = '
        '"measured" }\nfloor_seconds = { value = 1e-5, unit = "s", source = "me", date = "2026", '
        'kind = "measured" }\n[sources]\nme = { title = "mine", date = "2026" }\n',
        encoding="utf-8",
    )
    mine = load(FIVE.replace("gpu-gddr", "slow"))
    assert mine.classes == ("slow", "gpu-gddr")
    assert mine.achieved["bf16"].compute_fraction.value == 0.1
    assert mine.achieved["w4a16"].compute_fraction.value < 0.2


def test_an_answer_says_what_was_inherited(load: Load) -> None:
    notes = {key: (value, reason) for key, value, reason in device_notes(load(FIVE))}
    value, reason = notes[INHERITED]
    assert "gpu-gddr" in value
    assert "achieved fractions" in value
    assert "without a source" in reason
    assert "not stated" in notes["platform"][0]
    assert not list(device_notes(resolve_device("h100-sxm")))
    assert RECALLED not in notes
    recalled = {key: value for key, value, _ in device_notes(resolve_device("ryzen-9-9950x-64gb"))}
    assert recalled[RECALLED] == "rates of products, the power limit"
    told = {key: value for key, value, _ in device_notes(resolve_device("mi300x"))}
    assert "E4M3FN" in told["FP8 here"]


BAD = """
nam = "My card"
inherits = "gpu-gdr"
memory = 24
bandwidth = "900 GBs"
rates.bf16 = 165
rates.int88 = "330 TOPS"
power = "-5 W"
price = nan
achieved.bf16.compute_fraction = { value = 0.5, low = 0.6, high = 0.4, unit = "1" }
"""


def test_all_errors_are_told_at_once(load: Load) -> None:
    lines = wrong(load, BAD)
    assert "10 problems" in lines[0]
    for expected in (
        "inherits: unknown class 'gpu-gdr': did you mean gpu-gddr",
        "nam: unknown key: did you mean name",
        "name: missing",
        'memory.label: 24 has no unit: write it as "24 GB"',
        "'GBs' is no unit",
        "bf16.dense: 165 has no unit",
        "'int88' is no number format",
        "power.value: -5.0 is not positive",
        "price: nan has no unit",
        "0.5 lies outside",
    ):
        assert sum(expected in line for line in lines) == 1, expected


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"24 GB"', '"inf GB"', "no number with a unit"),
        ('"24 GB"', '"-24 GB"', "not positive"),
        ('"24 GB"', '"0 GB"', "not positive"),
        ('"24 GB"', '"1e30 GB"', "no figure of a device"),
        ('"24 GB"', '"1e400 GB"', "finite number"),
        ('"24 GB"', "nan", "nan has no unit"),
        ('"24 GB"', "[24]", "[24] is no figure"),
        ('"24 GB"', "true", "True is no figure"),
        ('"24 GB"', '"24 GB/s"', "does not measure this"),
        ('"900 GB/s"', '"900"', "has no unit"),
        ('"900 GB/s"', '""', "no number with a unit"),
        ('"165 TFLOPS"', '"165 TOPS"', "does not measure this"),
        ('"165 TFLOPS"', "inf", "inf has no unit"),
        ('"gpu-gddr"', "5", "inherits: 5 is no text"),
        ('"gpu-gddr"', '"mine"', "mine → mine comes back to mine"),
        ('"gpu-gddr"', '"../mine"', "unknown class '../mine'"),
        ('"gpu-gddr"', '"' + "x" * 4000 + '"', "unknown class"),
        ("rates.bf16 =", "rates.bf61 =", "'bf61' is no number format"),
        ("bandwidth =", "bandwith =", "bandwith: unknown key"),
        ("rates.int8 =", "rates.tensor-core.bf16 =", "is stated twice"),
        ('memory = "24 GB"', 'memory = { bandwidth = "1 TB/s", size = "24 GB" }', "at the head"),
        ('rates.bf16 = "165 TFLOPS"', 'achieved = 3\nrates.bf16 = "1 TFLOPS"', "valid dictionary"),
        ('name = "My card"', "name = 7", "valid string"),
    ],
)
def test_bad_figures_name_their_place_and_the_fix(
    load: Load,
    old: str,
    new: str,
    told: str,
) -> None:
    assert old in FIVE
    lines = wrong(load, FIVE.replace(old, new, 1))
    assert any(told in line for line in lines), lines
    assert all(len(line) < 400 for line in lines)
    assert not any("stand-in" in line for line in lines)


def test_a_circle_of_classes_is_told_with_its_way(load: Load, tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "b")):
        (tmp_path / f"{name}.toml").write_text(FIVE.replace("gpu-gddr", other), encoding="utf-8")
    lines = wrong(load, FIVE.replace("gpu-gddr", "a"))
    assert len(lines) == 1
    assert "mine → a → b → c → b comes back to b" in lines[0]


def test_a_class_of_ones_own_needs_no_id_and_may_state_a_part(load: Load, tmp_path: Path) -> None:
    """It ended in a traceback: the note of each inherited figure names the class by its id."""
    (tmp_path / "house.toml").write_text(
        'inherits = "gpu-gddr"\n[achieved.bf16]\ncompute_fraction = { value = 0.5, unit = "1", '
        'source = "s", date = "2026-11", kind = "assumed" }\n[sources]\n'
        's = { title = "Own", date = "2026-11" }\n',
        encoding="utf-8",
    )
    found = load(FIVE.replace("gpu-gddr", "house"))
    assert found.classes == ("house", "gpu-gddr")
    reached = found.achieved["bf16"]
    assert reached.compute_fraction.value == 0.5
    assert reached.compute_fraction.note.startswith("class house")
    assert reached.floor_seconds.note.startswith("class gpu-gddr")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("achieved = 3", "class house: achieved: 3 is no table"),
        ("fp32 = 3", "class house: fp32: 3 is no table"),
        ('fp32 = { share = "a" }', "class house: fp32.share: 'a' is no positive number"),
        ("[achieved]\nbf16 = 0.6", "class house: achieved.bf16: 0.6 is no table"),
        ("[achieved.bf16]\ncompute_fraction = 0.6", "0.6 is no figure of a class"),
        ("[achieved.bf16]\ncompute_fraction = { value = nan }", "is no figure of a class"),
        ('[conversion]\nfp8 = "x"', "class house: conversion.fp8: 'x' is no positive number"),
    ],
)
def test_a_malformed_class_of_ones_own_is_told(
    load: Load,
    tmp_path: Path,
    text: str,
    told: str,
) -> None:
    (tmp_path / "house.toml").write_text(f'inherits = "gpu-gddr"\n{text}\n', encoding="utf-8")
    assert told in wrong(load, FIVE.replace("gpu-gddr", "house"))[0]


def test_many_problems_are_counted(load: Load) -> None:
    lines = wrong(load, FIVE + "".join(f"key{i} = 1\n" for i in range(40)))
    assert "40 problems" in lines[0]
    assert lines[-1] == "and 20 more"


def test_a_short_figure_needs_a_class(load: Load) -> None:
    lines = wrong(load, FIVE.replace('inherits = "gpu-gddr"\n', ""))
    assert any("memory: '24 GB' is no table" in line for line in lines)


@given(number=st.floats(1e-3, 1e6), unit=st.sampled_from(sorted(EXAMPLES)))
def test_a_figure_reads_as_it_is_written(number: float, unit: str) -> None:
    word = EXAMPLES[unit].split()[1]
    one, base = read_figure(f"1 {word}", unit), read_figure(f"{number!r} {word}", unit)
    assert not isinstance(one, str)
    assert not isinstance(base, str)
    assert one[1] == base[1] == unit
    assert base[0] == pytest.approx(number * one[0])
    assert read_figure(f"{number!r}{word}", unit) == base


@pytest.mark.parametrize("text", ["GB", "1 2 GB", "0x10 GB", "1e GB", "٣ GB", "1\n2 GB", "nan GB"])
def test_what_is_no_figure_is_said_to_be_none(text: str) -> None:
    assert isinstance(read_figure(text, "B"), str)


@pytest.mark.parametrize("name", device_ids())
def test_the_template_of_every_device_is_a_device(name: str, load: Load) -> None:
    device = resolve_device(name)
    if device.rate("bf16") is None and device.rate("fp16") is None:
        pytest.skip(f"{name} states no rate of 16 bits")
    mine = load(device_template(device))
    assert mine.classes[0] in class_names()
    assert mine.bandwidth_bytes_per_s.value == pytest.approx(
        device.bandwidth_bytes_per_s.value, rel=1e-5
    )
    assert (mine.platform, mine.target, mine.compute_capability) == (
        device.platform,
        device.target,
        device.compute_capability,
    )
    for (_, fmt), rate in device.rates.items():
        own = mine.rate(fmt)
        best = device.rate(fmt)
        assert own is not None
        assert best is not None
        assert own.dense.value == pytest.approx(best.dense.value, rel=1e-5), (fmt, rate)


def test_the_template_is_printed_and_planned_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["devices", "rtx-5090", "--template"]) == 0
    path = tmp_path / "mine.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert run(["devices", str(path)]) == 0
    assert "My NVIDIA GeForce RTX 5090" in capsys.readouterr().out
    assert run(["devices", "--template"]) == 2
    assert "after which device" in capsys.readouterr().err
    path.write_text(BAD, encoding="utf-8")
    assert run(["devices", str(path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error: ")
    assert said[-1].startswith("hint: ")
    assert len(said) == 12


def test_no_plan_for_a_file_without_its_generation_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five numbers say nothing of what engines serve: 16 bits only, which fit nowhere here."""
    path = tmp_path / "mine.toml"
    path.write_text(FIVE.replace("24 GB", "16 GB"), encoding="utf-8")
    assert run(["llama-3.1-8b", str(path)]) == 1
    assert "hint: state compute_capability" in capsys.readouterr().err
    path.write_text(
        FIVE.replace("24 GB", "16 GB").replace(
            "rates.bf16", 'compute_capability = "8.9"\nrates.bf16', 1
        ),
        encoding="utf-8",
    )
    assert run(["llama-3.1-8b", str(path), "--context", "2048"]) == 0


def test_what_engines_go_by_is_checked(load: Load) -> None:
    lines = wrong(load, FIVE + 'compute_capability = "abc"\nplatform = "metall"\n')
    assert any("compute_capability: string should match" in line for line in lines)
    assert any("'metall'" in line for line in lines)
    assert "rates: missing" in wrong(load, FIVE.partition("rates.")[0])[0]
