"""``plan measure``: tables and the device, what is refused, what a plan makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.machines import epyc

import planner
from planner.cli.main import run
from planner.hardware.host.linux import linux_facts
from planner.lab.measuring import measure as api
from planner.lab.measuring.folder import tables
from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import row
from planner.lab.measuring.run import MeasuredParts
from planner.lab.measuring.timing import Timing


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two cores without torch or llama.cpp, whose parts tell at once."""
    facts = linux_facts("x86_64", frozenset({0, 1}), epyc(tmp_path_factory.mktemp("root")))
    monkeypatch.setattr(api, "host_facts", lambda: facts)
    monkeypatch.setattr(api, "find_ggml", lambda _: None)
    monkeypatch.setattr(api.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("planner.lab.measuring.run.run_part", told)


def told(request: PartRequest, found: MeasuredParts) -> None:
    """What a quiet machine would tell."""
    if request.part == "bandwidth":
        found.rows += [
            row("op_bandwidth", "host", "numpy 2", Timing(1e-2, 0.02, 9), n, op=op, bytes=n * 10**8)
            for n in (2, 1)
            for op in ("read", "copy")
        ]
    else:
        found.rows += [
            row(
                "op_gemm",
                "host",
                "numpy 2",
                Timing(m * 2e-4, 0.02, 9),
                2,
                kernel="blas",
                w_a_dtype="float32",
                m=m,
                n=4096,
                k=4096,
            )
            for m in (1, 512)
        ]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("machine")
def test_tables_and_a_device_that_plans_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["measure", "--quick", "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert "memory, read by 2 threads" in shown.out
    assert "20.0 GB/s" in shown.out
    assert f"--hardware-dir {out}" in shown.out
    assert "products of torch: torch is not installed" in shown.err
    assert "op_gemm of numpy: no form describes its kernels" in shown.err
    assert sorted(p.name for p in out.iterdir()) == [
        "host.toml",
        "op_bandwidth.csv",
        "op_gemm.csv",
        "op_sources.csv",
    ]
    device = planner.load_device("host", hardware_dir=out)
    assert device.bandwidth_bytes_per_s.value == pytest.approx(20e9)
    plan = planner.plan("smollm2-135m", "host", hardware_dir=out, engine="llama.cpp", context=2048)
    note = next(a for a in plan.assumptions if a.key == "this machine")
    assert "measured here; fp32 products, memory bandwidth" in note.reason


@pytest.mark.usefixtures("machine")
def test_tables_are_validated_and_fitted_with_the_profile_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["measure", "-o", str(out), "--quiet"]) == 0
    found = planner.validate(out)
    fp32 = [o for o in found.outcomes if o.format == "fp32"]
    assert len(fp32) == 2
    assert all(o.predicted is not None for o in fp32)
    assert run(["calibrate", str(out), "-o", str(out / "host.toml")]) == 0
    assert "wrote" in capsys.readouterr().err
    assert run(["calibrate", str(out), "-o", str(tmp_path / "profiles" / "host.toml")]) == 0
    assert (tmp_path / "profiles" / "host.toml").read_text(encoding="utf-8").startswith("id = ")
    other = tmp_path / "host.toml"
    other.write_text("x", encoding="utf-8")
    assert run(["calibrate", str(out), "-o", str(other)]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.usefixtures("machine")
def test_products_of_llama_cpp_are_held_against_its_kernels(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["measure", "-o", str(out), "--quiet"]) == 0
    times = {
        (kernel, m): 1e-4 * m * (2 if kernel == "mul_mat" else 1)
        for kernel in ("mul_mat", "mul_mat_cached")
        for m in (1, 4)
    }
    rows = [
        row(
            "op_gemm",
            "host",
            "llama.cpp 0.25",
            Timing(t, 0.0, 9),
            2,
            kernel=kernel,
            w_a_dtype=kind,
            m=m,
            n=2048,
            k=2048,
        )
        for (kernel, m), t in times.items()
        for kind in ("q4_k", "bf16", "q9_9")
    ]
    (out / "op_gemm.csv").write_text(tables(rows)["op_gemm.csv"], encoding="utf-8")
    found = {(o.row, o.format): o for o in planner.validate(out, only="op_gemm").outcomes}
    assert [o.row for o in found.values()] == list(range(len(rows)))
    for (place, kind), outcome in found.items():
        assert (outcome.predicted is None) == (kind == "ggml-q9_9")
        if kind == "ggml-q9_9":
            assert outcome.reason == "unknown format"
        elif rows[place]["kernel"] == "mul_mat":  # what memory adds
            cached = found[place + 6, kind]
            assert outcome.predicted is not None
            assert cached.predicted is not None
            assert outcome.predicted >= cached.predicted


@pytest.mark.usefixtures("machine")
def test_json_holds_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["measure", "--only", "bandwidth", "-o", str(tmp_path / "out"), "--json", "--quiet"])
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert {r["table"] for r in answer["rows"]} == {"op_bandwidth"}
    assert answer["failed"] == []


@pytest.mark.usefixtures("machine")
def test_a_part_that_fails_is_told_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(request: PartRequest, found: MeasuredParts) -> None:
        if request.part == "bandwidth":
            told(request, found)
        else:
            found.failed.append((request.part, "ended by SIGILL"))

    monkeypatch.setattr("planner.lab.measuring.run.run_part", one)
    assert run(["measure", "-o", str(tmp_path / "out")]) == 2
    assert "failed: products of numpy: ended by SIGILL" in capsys.readouterr().err
    assert (tmp_path / "out" / "op_bandwidth.csv").is_file()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "gem"], "unknown operator 'gem'"),
        (["--only", "attention"], "nothing that was asked for can be measured here"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["measure", *words, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_library_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["measure", "--engine-dir", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "holds no libggml-base" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_a_real_part_measures_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.lab.measuring.run.QUICK_SECONDS", 0.5)
    found = planner.measure(tmp_path / "out", quick=True, only=["bandwidth"])
    assert {r["op"] for r in found.rows} == {"read", "copy"}
    assert all(r["latency_us"] > 0 for r in found.rows)
