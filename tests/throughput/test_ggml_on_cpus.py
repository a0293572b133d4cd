"""ggml's kernels on vector units of CPUs: by hand, and laws over every unit."""

from dataclasses import replace

import pytest
from support.ggml_products import H100, TYPES, XEON, one

from planner.formats.schemes import scheme
from planner.throughput.ggml import (
    cpu_unit,
    cpu_units,
    ggml_refusal,
    on_cpu,
    rules,
)
from planner.throughput.ggml_times import ggml_arrays


def with_units(**int8):
    """A Xeon of 56 cores at 2 GHz with other vector units, by INT8 operations a cycle and core."""
    plain = {key: rate for key, rate in XEON.rates.items() if key[0] not in ("amx", "avx512")}
    base = XEON.rates["avx512", "int8"]
    for unit, operations in int8.items():
        name = unit.replace("_", "-")
        dense = replace(base.dense, value=operations * 56 * 2.0e9)
        plain[name, "int8"] = replace(base, unit=name, dense=dense)
        plain[name, "bf16"] = replace(base, unit=name, format="bf16", dense=dense)
    return replace(XEON, rates=plain)


@pytest.mark.parametrize(
    ("unit", "operations", "rate"),
    [("avx2", 64, 10.0), ("neon", 64, 7.58), ("sve", 64, 7.58), ("avx512_vnni", 256, 14.2)],
)
def test_one_token_on_a_vector_unit_by_hand(unit, operations, rate):
    """Q4_K: products a cycle and core, measured or counted, at 56 cores of 2 GHz."""
    assert one(with_units(**{unit: operations}), "ggml-q4_k", 1)[0] == pytest.approx(
        4096**2 / (rate * 56 * 2.0e9)
    )


CPUS = {
    "zen-4": ("avx512_vnni", 128, "Zen 4"),
    "server": ("avx512_vnni", 256, "other"),
    "avx2": ("avx2", 64, "other"),
    "neon": ("neon", 64, "other"),
}


@pytest.mark.parametrize("name", CPUS)
def test_more_tokens_never_take_less_time_on_a_cpu(name):
    """Across the paths too: one by one, repacked from four, tiles from eight tokens on."""
    unit, operations, core = CPUS[name]
    device = replace(with_units(**{unit: operations}), architecture=core)
    for kind in TYPES:
        for experts in (False, True):
            times = [one(device, kind, m, experts=experts)[4] for m in range(1, 20)]
            assert times == sorted(times), kind


@pytest.mark.parametrize("name", CPUS)
def test_more_bytes_are_not_faster_within_a_family_of_types(name):
    """IQ2_XXS against Q2_K is another matter: grids cost more than bytes; a row that is multiplied
    with repacked blocks is narrowed by one core."""
    unit, operations, core = CPUS[name]
    device = replace(with_units(**{unit: operations}), architecture=core)
    for small, large in (("ggml-q4_0", "ggml-q5_0"), ("ggml-q4_k", "ggml-q5_k")):
        for part in (0, 1):
            assert one(device, small, 1)[part] <= one(device, large, 1)[part]


def test_tiles_unpack_weights_once_by_hand():
    """IQ4_XS on a Zen 4 core: 8 tokens in tiles; 7 take the vector kernels, at most that time."""
    device = replace(with_units(avx512_vnni=128), architecture="Zen 4")
    law = next(u for u in rules()["cpu"]["unit"] if "Zen 4" in u["architectures"])
    count, cycles = law["products"]["ggml-iq4_xs"], 56 * 2.0e9
    eight = 4096**2 * (8 / count["many"] + 1 / count["unpack"]) / cycles
    assert one(device, "ggml-iq4_xs", 8)[0] == pytest.approx(eight)
    assert one(device, "ggml-iq4_xs", 100)[0] == pytest.approx(
        4096**2 * (100 / count["many"] + 1 / count["unpack"]) / cycles
    )
    assert one(device, "ggml-iq4_xs", 7)[0] == pytest.approx(
        min(eight, 7 * 4096**2 / count["one"] / cycles)
    )


def test_llamafile_has_no_tiles_for_experts():
    """Q5_0: tiles from two tokens on, but one dot product at a time for experts."""
    device = replace(with_units(avx512_vnni=128), architecture="Zen 4")
    alone, two, experts = (
        one(device, "ggml-q5_0", m, experts=apart)[0]
        for m, apart in ((1, False), (2, False), (2, True))
    )
    assert experts == pytest.approx(2 * alone)
    assert two == pytest.approx(max(alone, 2 * 4096**2 / 12.4 / (56 * 2.0e9)), rel=0.05)


def test_a_core_is_known_by_its_name():
    """A Zen 4 core has half the integer pipes of a Zen 5 core, and takes as many cycles a dot
    product of Q8_0."""
    zen4, zen5 = (
        replace(with_units(avx512_vnni=operations), architecture=name)
        for name, operations in (("Zen 4", 128), ("Zen 5", 256))
    )
    assert cpu_unit(zen4)[1]["peak_products"] == 64
    assert cpu_unit(zen5)[1]["peak_products"] == 128
    assert one(zen4, "ggml-q8_0", 1)[0] == pytest.approx(one(zen5, "ggml-q8_0", 1)[0], rel=0.05)
    assert one(zen4, "ggml-q4_0", 64)[0] > 1.8 * one(zen5, "ggml-q4_0", 64)[0]


def test_every_type_is_counted():
    """On every vector unit, and on GPUs but for the ternary types, which have no CUDA kernel."""
    for law in rules()["cpu"]["unit"]:
        assert set(TYPES) <= set(law["products"])
        assert {p["path"] for p in law["products"].values()} <= set(rules()["cpu"]["paths"])
    assert set(TYPES) - set(rules()["gpu"]["instructions"]) == {"ggml-tq1_0", "ggml-tq2_0"}
    assert "no CUDA kernels" in ggml_refusal(H100, scheme("ggml-tq1_0"))
    # Without MMQ a prompt is widened to FP16 once, whatever its length.
    assert one(H100, "ggml-iq1_m", 512)[0] < 2 * one(H100, "ggml-iq1_m", 256)[0]


def test_a_core_with_twice_the_rate_has_twice_the_pipes():
    two, four = (one(with_units(neon=n), "ggml-q8_0", 16)[0] for n in (64, 128))
    assert two == pytest.approx(2 * four)


def test_the_widest_unit_counts():
    both = with_units(avx2=64, avx512=256)
    assert cpu_unit(both)[0] == "avx512"
    assert cpu_unit(XEON)[0] == "avx512"
    assert cpu_units() == ("avx512-vnni", "avx512", "avx2", "sve", "neon")


@pytest.mark.parametrize("unit", ["avx2", "neon"])
def test_every_type_is_priced_without_avx512(unit):
    device = with_units(**{unit: 64})
    for name in TYPES:
        assert not ggml_refusal(device, scheme(name))
        for experts in (False, True):
            assert ggml_arrays(device, [name], experts=experts, engine="any") is not None


def test_a_cpu_without_integer_products_is_refused_by_name():
    device = with_units(amx=2048)
    assert "avx2" in ggml_refusal(device, scheme("ggml-q4_k"))
    assert "int8" in ggml_refusal(with_units(), scheme("ggml-q4_k"))


def test_a_chip_without_cuda_runs_on_its_vector_unit():
    chip = replace(with_units(neon=128), kind="soc", compute_capability=None)
    assert on_cpu(chip)
    assert not ggml_refusal(chip, scheme("ggml-q4_0"))
    assert not on_cpu(H100)
