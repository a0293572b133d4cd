"""Whole steps that were measured on a device correct the model that they were measured on."""

import csv
import io
from dataclasses import replace
from math import exp, log

import pytest

import planner
from planner.export.assignment import assignment_of
from planner.lab.calibration.run import calibrate, stale_sets
from planner.lab.validation.e2e_verify import predicted_seconds, types_of
from planner.lab.validation.records import NotCoveredError
from planner.lab.verifying.learned import schemes_of_plan
from planner.lab.verifying.measured_table import COLUMNS, layered, table_text
from planner.lab.verifying.records import (
    ComparedRow,
    InstalledEngine,
    Reading,
    Setting,
    Verification,
)
from planner.lab.verifying.run import Findings
from planner.planning.inspect.batch_one import BatchOneRun, price_batch_one, prompt_and_step
from planner.planning.space.residuals import MEASURED_HERE, PROMPT, STEP, model_key

DEVICE = planner.load_device("xeon-platinum-8480")
SPEC = planner.load_model("smollm2-135m")
SCHEMES = ("ggml-q8_0", "ggml-q4_0", "bf16")
OFF = {"ggml-q8_0": 1.5, "ggml-q4_0": 1.6, "bf16": 1.55}


def priced(device, scheme, spec=SPEC, engine="llama.cpp"):
    return price_batch_one(spec, BatchOneRun(device, engine, 192, 64, 256, "bf16"), scheme=scheme)


def table(rows) -> str:
    out = io.StringIO()
    lines = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    lines.writeheader()
    lines.writerows(rows)
    return out.getvalue()


def measured_rows(model=SPEC.id):
    for scheme in SCHEMES:
        prompt, step = prompt_and_step(priced(DEVICE, scheme))
        for quantity, told, off in (
            ("decode_seconds", step, OFF[scheme]),
            ("prefill_seconds", prompt, 2.0),
        ):
            yield {
                "device": DEVICE.id,
                "software": "llama.cpp 0.5",
                "engine": "llama.cpp",
                "model": model,
                "subject": scheme,
                "types": f"= {scheme}",
                "prompt_tokens": 192,
                "output_tokens": 64,
                "threads": 1,
                "cache": "bf16",
                "quantity": quantity,
                "unit": "seconds",
                "measured": off * told.value,
                "predicted": told.value,
                "low": told.low,
                "high": told.high,
                "basis": told.basis,
                "busy": "0.02",
            }


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verified")
    (folder / "e2e_verify.csv").write_text(table(measured_rows()), encoding="utf-8")
    found = calibrate(folder, DEVICE, source="a test", date="2026-11-27")
    path = tmp_path_factory.mktemp("hardware") / f"{DEVICE.id}.toml"
    path.write_text(found.text, encoding="utf-8")
    return found, planner.load_device(str(path))


def test_the_factor_is_the_mean_of_what_files_are_off_by(corrected):
    found, _ = corrected
    by = {fit.operator: fit for fit in found.fits}
    assert set(by) == {STEP, PROMPT}
    mean = exp(sum(map(log, OFF.values())) / 3)
    assert by[STEP].parameters["factor"] == pytest.approx(mean, rel=1e-6)
    assert by[PROMPT].parameters["factor"] == pytest.approx(2.0, rel=1e-6)
    assert by[STEP].variant == model_key(SPEC)
    assert "smollm2-135m" in by[STEP].note


def test_the_second_prediction_is_inside_ten_percent(corrected):
    _, device = corrected
    for scheme in SCHEMES:
        first = prompt_and_step(priced(DEVICE, scheme))[1].value
        plan = priced(device, scheme)
        second = prompt_and_step(plan)[1]
        assert second.value / (OFF[scheme] * first) == pytest.approx(1, abs=0.1)
        assert second.low <= OFF[scheme] * first <= second.high
        assert second.basis == MEASURED_HERE
        basis = next(a for a in plan.assumptions if a.key == "time basis")
        assert "measured here on 3 files" in basis.reason


def mixed_plan(scheme="int8-w8a8", engine="vllm"):
    """A plan whose mlp-down stays wide but for its first layers, and how files name it."""
    made = planner.estimate(SPEC, DEVICE, scheme=scheme, engine=engine, batch=1, isl=192, osl=64)
    plan = replace(
        made,
        units=tuple(
            replace(u, scheme="bf16") if u.kind == "mlp-down" and 0 not in u.layers else u
            for u in made.units
        ),
    )
    return plan, schemes_of_plan(assignment_of(plan, SPEC))


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("engine", "scheme"), [("vllm", "int8-w8a8"), ("pytorch", "int8-w8a8"), ("vllm", "int4-w4a16")]
)
def test_times_of_a_mixed_plan_are_learned(engine, scheme, tmp_path):
    """What vLLM and PyTorch load tells no types: the plan's own schemes stand in the table."""
    plan, schemes = mixed_plan(scheme, engine)
    how = BatchOneRun(DEVICE, engine, 192, 64, 256, "bf16")
    prompt, step = prompt_and_step(price_batch_one(SPEC, how, plan=plan))
    assert step.value != prompt_and_step(price_batch_one(SPEC, how, scheme=scheme))[1].value
    types = layered({"types": schemes})
    assert f"ffn_down {scheme} 0-1; ffn_down bf16 2-29" in types
    row = next(measured_rows()) | {
        "engine": engine,
        "software": f"{engine} 0.21.1",
        "subject": "plan",
        "types": types,
    }
    (tmp_path / "e2e_verify.csv").write_text(
        table(
            [
                row | {"quantity": "decode_seconds", "measured": 1.7 * step.value},
                row | {"quantity": "prefill_seconds", "measured": 1.4 * prompt.value},
            ]
        )
    )
    found = calibrate(tmp_path, DEVICE, source="a test", date="2026-11-27")
    assert {fit.operator: fit.parameters["factor"] for fit in found.fits} == {
        STEP: pytest.approx(1.7),
        PROMPT: pytest.approx(1.4),
    }
    assert not found.skipped


def test_the_table_of_a_plan_has_its_schemes():
    _, schemes = mixed_plan()
    rows = [
        ComparedRow(name, "decode_seconds", "seconds", 1.0, 0.9, 1.1, "prior", 1.2, 0.0)
        for name in ("plan", "bf16")
    ]
    found = Verification(
        SPEC.id,
        "host",
        InstalledEngine("vllm", "0.32.0", "python"),
        Setting(192, 64, 1, 3, 512, 16, 60.0),
        "a text",
        {},
        tuple(rows),
        (),
        "",
        (),
        (),
    )
    read = {name: {"decode_seconds": Reading(1.2)} for name in ("plan", "bf16")}
    text = table_text(
        found,
        Findings((), read, {"plan": {"kernels": []}, "bf16": {"scheme": ""}}),
        {"plan": schemes, "bf16": {}},
    )
    plan, base = csv.DictReader(io.StringIO(text))
    assert types_of(plan["types"]) == schemes
    assert plan["formats"] == "182 int8-w8a8 + 28 bf16"
    assert (base["types"], base["formats"]) == ("'= ", "")


def test_rows_that_say_no_formats_are_told(tmp_path):
    rows = list(measured_rows())
    lost = rows[0] | {"subject": "plan", "types": ""}
    (tmp_path / "e2e_verify.csv").write_text(table([*rows, lost]), encoding="utf-8")
    found = calibrate(tmp_path, DEVICE, source="a test", date="2026-11-27")
    assert found.fits
    assert found.skipped == (("plan of smollm2-135m on llama.cpp", "unknown format"),)


def test_a_version_runs_what_it_runs():
    """FP8 on x86 came with a later vLLM: its rows are those of that version."""
    row = next(measured_rows()) | {"engine": "vllm", "types": "= fp8-channel"}
    with pytest.raises(NotCoveredError, match="not executable"):
        predicted_seconds(row | {"software": "vllm 0.21.0"}, DEVICE, SPEC)
    assert predicted_seconds(row | {"software": "vllm 0.32.1"}, DEVICE, SPEC) > 0


def test_the_table_adds_up_as_before(corrected):
    plan = priced(corrected[1], "ggml-q8_0")
    inside = sum(u.decode_seconds for u in plan.units) + plan.performance.interruption_seconds
    assert inside == pytest.approx(plan.performance.tpot_seconds.value)


def test_other_models_and_engines_stay_as_they_are(corrected):
    _, device = corrected
    other = planner.load_model("qwen3-0.6b")
    assert prompt_and_step(priced(device, "ggml-q8_0", other)) == prompt_and_step(
        priced(DEVICE, "ggml-q8_0", other)
    )
    assert prompt_and_step(priced(device, "bf16", engine="pytorch")) == prompt_and_step(
        priced(DEVICE, "bf16", engine="pytorch")
    )


def test_calibrating_again_does_not_compound(corrected, tmp_path):
    found, device = corrected
    (tmp_path / "e2e_verify.csv").write_text(table(measured_rows()), encoding="utf-8")
    again = calibrate(tmp_path, device, source="a test", date="2026-11-27")
    assert [f.parameters for f in again.fits] == [f.parameters for f in found.fits]


def test_one_file_is_known_less_well(tmp_path):
    rows = [r for r in measured_rows() if r["subject"] == "bf16"]
    (tmp_path / "e2e_verify.csv").write_text(table(rows), encoding="utf-8")
    found = calibrate(tmp_path, DEVICE, source="a test", date="2026-11-27")
    assert {f.error.sigma for f in found.fits} == {0.12}


def test_a_model_that_is_not_bundled_is_named(tmp_path):
    (tmp_path / "e2e_verify.csv").write_text(table(measured_rows("mine")), encoding="utf-8")
    found = calibrate(tmp_path, DEVICE, source="a test", date="2026-11-27")
    assert not found.fits
    assert "--model" in found.skipped[0][1]


def test_new_operators_drop_what_was_left_over_the_old(corrected):
    found, device = corrected
    key = ("gemm", "vllm", "bf16")
    new = replace(found.fits[0], operator="gemm", stack="vllm", variant="bf16")
    assert set(stale_sets(device, [new])) == {(f.operator, f.stack, f.variant) for f in found.fits}
    assert key not in stale_sets(device, [new])
    assert stale_sets(device, found.fits) == []
    assert stale_sets(device, [new, *found.fits]) == []


def test_types_by_tensor_are_read_as_written():
    types = {f"blk.{n}.ffn_down.weight": "Q6_K" if n in (0, 1, 5) else "Q4_0" for n in range(8)}
    types |= {"token_embd.weight": "Q8_0", "blk.0.attn_norm.weight": "F32"}
    text = layered({"types": types})
    assert text == "ffn_down Q6_K 0-1,5; ffn_down Q4_0 2-4,6-7; token_embd Q8_0"
    assert types_of(text) == {k: v for k, v in types.items() if v != "F32"}
