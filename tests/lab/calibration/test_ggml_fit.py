"""ggml's kernels from a machine's own rows: what was put in comes back, others are carried over."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planner.formats.schemes import scheme
from planner.formats.sizes import bits_per_element
from planner.hardware.catalog import resolve_device
from planner.lab.calibration import ggml
from planner.lab.calibration.attention import fit_tables as fit_attention
from planner.lab.calibration.run import calibrate
from planner.throughput.ggml import counted_kernel, ggml_kernel
from planner.throughput.ggml_attention import ggml_attention
from planner.throughput.ggml_times import GgmlArrays, as_arrays, ggml_arrays, ggml_parts

ROOT = Path(__file__).resolve().parents[3]
SHAPES = ((1536, 512), (512, 1536), (2048, 2048), (4096, 1024), (1024, 4096), (1280, 2560))
FASTER = {
    "ggml-q8_0": (1.0, 1.3),
    "ggml-q4_k": (0.8, 1.2),
    "ggml-iq4_xs": (1.5, 0.9),
    "ggml-q5_1": (1.2, 1.2),
    "bf16": (1.1, 0.7),
}
"""How much longer than counted the made-up machine takes: one token, many."""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A CPU of 4 Zen 4 cores, as text, read back."""
    text = (ROOT / "hardware_profiles" / "xeon-6980p.toml").read_text(encoding="utf-8")
    text = re.sub(r"\[rates\.amx\..*?\n\n", "", text, flags=re.S)
    text = text.replace("rates.avx512.int8", "rates.avx512-vnni.int8")
    text = text.replace('"xeon-6980p"', '"four-cores"').replace('["xeon_6980p"]', "[]")
    text = text.replace('architecture = "Granite Rapids-AP"', 'architecture = "Zen 4"')
    text = re.sub(
        r"(int8\]\ndense = \{ value = )[\d.e]+, low = [\d.e]+, high = [\d.e]+",
        r"\g<1>1.792e12, low = 1.792e12, high = 2e12",
        text,
    )
    path = tmp_path_factory.mktemp("devices") / "four-cores.toml"
    path.write_text(text, encoding="utf-8")
    return resolve_device(str(path))


def made_up(host, types=FASTER, shapes=SHAPES, noise=0.02, threads=4, tokens=(1, 2, 4, 8, 32, 128)):
    """Rows of a machine that takes FASTER times as long as counted, from memory and a cache."""
    rng = np.random.default_rng(1)
    rows = []
    for name, (one, many) in types.items():
        kernel = counted_kernel(host, name, experts=False)
        kernel = replace(
            kernel,
            vector=kernel.vector * one,
            tile=kernel.tile * many,
            unpack=kernel.unpack * many,
            launch=2e-6,
        )
        arrays = GgmlArrays(np.zeros(1, dtype=np.int64), False, as_arrays([kernel]))
        for n, k in shapes:
            for m in tokens:
                for table in ("mul_mat", "mul_mat_cached"):
                    stored = n * k * bits_per_element(scheme(name).weight) / 8
                    seconds = ggml_parts(
                        arrays,
                        rows=np.array([[float(m)]]),
                        judged=np.array([[float(m)]]),
                        matrices=np.ones((1, 1)),
                        outputs=np.array([[float(n)]]),
                        inputs=np.array([[float(k)]]),
                        kinds=1,
                        stored=np.array([[stored if table == "mul_mat" else 0.0]]),
                    ).total()[0, 0]
                    seconds = float(seconds * np.exp(noise * rng.standard_normal()))
                    rows.append(
                        {
                            "device": host.id,
                            "software": "llama.cpp b1",
                            "kernel": table,
                            "w_a_dtype": name.removeprefix("ggml-"),
                            "m": str(m),
                            "n": str(n),
                            "k": str(k),
                            "latency_us": repr(seconds * 1e6),
                            "threads": str(threads),
                        }
                    )
    return rows


def fitted(host, rows, **given):
    return {fit.variant: fit for _, fit in ggml.fit_tables(rows, profiles={host.id: host}, **given)}


def test_what_was_put_in_comes_back(host) -> None:
    found = fitted(host, made_up(host))
    assert set(found) == {*FASTER, "any"}
    for name, (one, many) in FASTER.items():
        counted, p = counted_kernel(host, name, experts=False), found[name].parameters
        assert p["vector_seconds"] == pytest.approx(counted.vector * one, rel=0.05), name
        if name != "ggml-q5_1":
            assert p["tile_seconds"] == pytest.approx(counted.tile * many, rel=0.1), name
        assert p["launch_seconds"] == pytest.approx(2e-6, rel=0.6)
        assert found[name].error.mean < 0.05
        assert found[name].error.held_out > 0
        assert "4 threads" in found[name].note


def test_errors_are_of_shapes_that_the_fit_did_not_see(host) -> None:
    """A shape that behaves otherwise widens the band, whether kept back or not."""
    rows = [
        r | {"latency_us": repr(float(r["latency_us"]) * (3 if r["n"] == "2048" else 1))}
        for r in made_up(host, {"ggml-q8_0": (1.0, 1.0), "bf16": (1.0, 1.0)})
    ]
    spoiled, clean = (fitted(host, table)["ggml-q8_0"].error for table in (rows, made_up(host)))
    assert spoiled.sigma > 3 * clean.sigma


def test_types_without_rows_take_the_ratio_of_the_others(host) -> None:
    """One token by 0.8 to 1.5 times as long: their mean, and a wider band than a type's own."""
    found = fitted(host, made_up(host))
    blocks = [FASTER[n] for n in FASTER if n != "bf16"]
    for at, name in enumerate(("one_factor", "many_factor")):
        mean = np.exp(np.mean([np.log(b[at]) for b in blocks]))
        assert found["any"].parameters[name] == pytest.approx(mean, rel=0.12)
    assert found["any"].error.sigma > max(found[n].error.sigma for n in FASTER)


def test_few_rows_make_no_set_of_their_own_and_say_so(host) -> None:
    rows = made_up(host, shapes=SHAPES[:1], tokens=(1, 64))
    assert set(fitted(host, rows)) == {"any"}
    told = dict(ggml.left_out(rows, profiles={host.id: host}))
    assert "too few" in told["ggml llama.cpp ggml-q8_0 on four-cores"]
    unknown = [{**rows[0], "w_a_dtype": "q9_9"}]
    assert ggml.fit_tables(unknown, profiles={host.id: host}) == []
    assert [why for _, why in ggml.left_out(unknown, profiles={host.id: host})] == [
        "no scheme of this type"
    ]


def test_rows_of_fewer_threads_and_of_other_software_take_no_part(host) -> None:
    rows = made_up(host)
    slow = [{**r, "threads": "1", "latency_us": repr(4 * float(r["latency_us"]))} for r in rows]
    other = [{**r, "software": "numpy 2", "latency_us": "1e6"} for r in rows]
    assert (
        fitted(host, [*slow, *other, *rows])["ggml-q4_k"].parameters
        == fitted(host, rows)["ggml-q4_k"].parameters
    )


def test_the_last_version_counts_and_the_others_are_named(host) -> None:
    rows = made_up(host)
    older = [
        {**r, "software": "llama.cpp b0", "latency_us": repr(4 * float(r["latency_us"]))}
        for r in rows
    ]
    assert fitted(host, [*older, *rows])["ggml-q4_k"] == fitted(host, rows)["ggml-q4_k"]
    assert ("ggml llama.cpp b0 on four-cores", "rows of b1 come after it") in ggml.left_out(
        [*older, *rows], profiles={host.id: host}
    )


def test_rows_that_say_no_number_of_threads_are_left_out(host) -> None:
    rows = made_up(host)
    bad = [{**r, "threads": "many", "latency_us": "1e6"} for r in rows]
    assert fitted(host, [*bad, *rows]) == fitted(host, rows)


def test_narrowing_is_shared_out_over_the_threads(host) -> None:
    table = [
        {
            "device": host.id,
            "software": "llama.cpp b1",
            "op": "quantize_row",
            "quant_dtype": "q8_0",
            "m": "64",
            "k": "2048",
            "threads": "1",
            "latency_us": repr(64 * 2048 * 1e-3),
        }
    ]
    found = fitted(host, made_up(host), op_quantize=table)
    assert found["ggml-q8_0"].parameters["quantise_seconds"] == pytest.approx(1e-9 / 4)
    assert found["ggml-q4_k"].parameters["quantise_seconds"] == pytest.approx(
        counted_kernel(host, "ggml-q4_k", experts=False).quantise, rel=1e-4
    )


def test_a_profile_brings_its_fits_back(host, tmp_path) -> None:
    """Tables → plan calibrate → a profile → times: fitted, carried over to other types, counted for
    none; experts whose tokens run one by one keep doing so."""
    rows = made_up(host)
    head = list(rows[0])
    (tmp_path / "op_gemm.csv").write_text(
        "\n".join([",".join(head), *(",".join(r[h] for h in head) for r in rows)]) + "\n",
        encoding="utf-8",
    )
    result = calibrate(tmp_path, host, source="here", date="2026-11-27")
    made = tmp_path / "four-cores.toml"
    made.write_text(result.text, encoding="utf-8")
    device = resolve_device(str(made))
    kernels = ggml_arrays(device, [*FASTER, "ggml-q2_k"], experts=False, engine="llama.cpp")
    assert kernels is not None
    assert [how.basis for how in kernels.certainty] == ["fitted"] * len(FASTER) + ["transferred"]
    assert "measured on four-cores" in kernels.certainty[0].origin
    for name, (one, _) in FASTER.items():
        counted = counted_kernel(device, name, experts=False)
        assert ggml_kernel(device, name, experts=False).vector == pytest.approx(
            counted.vector * one, rel=0.05
        )
    apart = ggml_kernel(device, "ggml-q8_0", experts=True)
    assert apart.tile == apart.vector
    before = ggml_arrays(host, ["ggml-q2_k"], experts=False, engine="llama.cpp")
    assert before is not None
    assert before.certainty[0].basis == "prior"
    assert before.certainty[0].sigma > kernels.certainty[-1].sigma > kernels.certainty[0].sigma


def attention_rows(host, step, tile):
    """(decode, prompt) rows of ``step`` and ``tile`` seconds an element of a pair, and a launch."""
    launch = {
        phase: host.achieved[f"attention-{phase}"].floor_seconds.value
        for phase in ("decode", "prefill")
    }
    common = {
        "device": host.id,
        "software": "llama.cpp b1",
        "attn_dtype": "f32",
        "kv_dtype": "f16",
        "batch": "1",
        "window": "0",
        "threads": "4",
    }
    steps, prompts = [], []
    for heads, shared, width in ((32, 8, 128), (9, 3, 64)):
        own = common | {"heads": str(heads), "kv_heads": str(shared), "head_dim": str(width)}
        for length in (256, 1024, 4096):
            pairs = heads * 2 * width
            steps.append(
                own
                | {
                    "kv_len": str(length),
                    "latency_us": repr((launch["decode"] + pairs * length * step) * 1e6),
                }
            )
            edge = length * (length + 1) / 2 + 32 * length
            prompts.append(
                own
                | {
                    "isl": str(length),
                    "latency_us": repr((launch["prefill"] + pairs * edge * tile) * 1e6),
                }
            )
    return steps, prompts


def test_attention_by_its_own_rows(host) -> None:
    steps, prompts = attention_rows(host, 2e-10, 5e-11)
    [(_, step)] = fit_attention(steps, profiles={host.id: host})
    [(_, prompt)] = fit_attention(prompts, profiles={host.id: host})
    assert (step.variant, prompt.variant) == ("decode:fp16", "prefill:fp16")
    assert step.parameters["element_seconds"] == pytest.approx(2e-10)
    assert prompt.parameters["element_seconds"] == pytest.approx(5e-11)
    device = replace(
        host, fitted={("ggml-attention", "llama.cpp", f.variant): f for f in (step, prompt)}
    )
    costs = ggml_attention(device, "llama.cpp")
    assert costs is not None
    assert costs.costs["fp16"].step == pytest.approx(2e-10)
    assert costs.costs["fp16"].tile == pytest.approx(5e-11)
    assert costs.costs["fp16"].sure_step.basis == "fitted"
    assert costs.costs["bf16"].sure_step.basis == "prior"
    for fitted in (step, prompt):
        assert fitted.error.mean < 1e-9


def test_a_launch_of_attention_counts_once(host) -> None:
    """A step over a short cache comes back whole, whether the launch is short or most of it."""
    from planner.models.catalog import bundled_model
    from planner.throughput.ggml_attention import core_parts
    from planner.throughput.points import Points, decode_phase

    one = np.ones(1)
    points = Points(layout=np.zeros(1, dtype=np.int64), tp=one, dp=one, pp=one, ep=one, slot=one)
    llama = bundled_model("llama-3.2-1b").attention[0]  # 32 heads of 64
    floor = host.achieved["attention-decode"].floor_seconds.value
    for seconds in (1e-10, floor / (2 * 64 * 32 * 256)):
        steps, _ = attention_rows(host, seconds, 5e-11)
        [(_, fitted)] = fit_attention(steps, profiles={host.id: host})
        device = replace(host, fitted={("ggml-attention", "llama.cpp", fitted.variant): fitted})
        costs = ggml_attention(device, "llama.cpp")
        found = sum(
            float(
                core_parts(
                    costs, llama, kind, ["fp16"], device, points, decode_phase(points, 256)
                ).total()[0, 0]
            )
            for kind in ("kv-k", "kv-v")
        )
        assert found == pytest.approx(floor + 32 * 2 * 64 * 256 * seconds, rel=1e-6)
