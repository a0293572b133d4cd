"""The whole loop with programs that answer as llama.cpp's do, and each way in which they fail."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from support.fake_llama import calls, fake_llama
from support.small_gguf import small_gguf

import planner
from planner.base.errors import DataError, InputError, UnsupportedError
from planner.lab.calibration.run import calibrate
from planner.lab.verifying import llama_cpp
from planner.lookup import load_device
from planner.planning.engines.mixes import importance_type
from planner.quality.profile_file import read_profile

DEVICE = "xeon-platinum-8480"
ALSO = ("Q8_0",)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No other program takes the cores."""
    monkeypatch.setattr(llama_cpp, "core_share", lambda _: 1.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("base") / "small.gguf"
    path.write_bytes(small_gguf())
    return path


@pytest.fixture(scope="module")
def quantised(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made") / "made.gguf"
    path.write_bytes(
        small_gguf(
            lambda name: "BF16" if name in ("token_embd.weight", "output.weight") else "Q8_0"
        )
    )
    return path


@pytest.fixture(scope="module")
def plan(base):
    return planner.estimate(
        str(base), DEVICE, scheme="ggml-q8_0", engine="llama.cpp", batch=1, isl=128, osl=32
    )


def verified(plan, base, folder, engine, **more):
    given = {
        "output": folder,
        "engine_dir": engine,
        "device": DEVICE,
        "threads": 1,
        "repeats": 3,
        "prompt_tokens": 192,
        "output_tokens": 64,
        **more,
    }
    return planner.verify(plan, base, **given)


def test_a_plan_is_made_run_and_compared(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    found = verified(plan, base, tmp_path / "out", engine, also=ALSO)
    assert found.subjects == {"plan": "plan", "Q4_K_M": "default", "Q8_0": "also"}
    assert found.row("plan", "kl").measured == 0.010487
    assert found.row("plan", "decode_seconds").measured == pytest.approx(0.64 / 64)
    assert found.row("plan", "prefill_seconds").measured == pytest.approx(0.64)
    assert found.row("plan", "cache_tokens").inside
    size = found.row("plan", "file_bytes")
    assert size.measured == quantised.stat().st_size
    assert size.inside  # the file is what the plan says, header and all
    assert found.row("plan", "cache_bytes").predicted == 256 * 2 * 2 * 2 * 32  # cells, k v, layers
    assert "not dominated" in found.verdict
    assert str(found).count("\n") > 20


def test_the_folder_holds_what_other_commands_read(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    found = verified(plan, base, tmp_path / "out", engine)
    told = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert told == found.to_dict()
    groups = planner.validate(tmp_path / "out").to_dict()
    assert {g["table"] for g in groups["groups"]} == {"e2e_verify"}
    assert all(u["table"] == "e2e_verify" for u in groups["uncovered"])
    with (tmp_path / "out" / "e2e_verify.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["types"].startswith("token_embd BF16")
    assert {row["quantity"] for row in rows} >= {"kl", "flips", "decode_seconds", "file_bytes"}
    read_profile(tmp_path / "out" / "profile.json")


def test_measured_losses_move_the_second_prediction_to_them(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    first = verified(plan, base, tmp_path / "out", engine)
    before, measured = first.row("plan", "kl").predicted, first.row("plan", "kl").measured
    again = verified(
        plan, base, tmp_path / "out", engine, profile=str(tmp_path / "out" / "profile.json")
    )
    after = again.row("plan", "kl").predicted
    assert not 1 / 1.25 < before / measured < 1.25
    assert 1 / 1.25 < after / measured < 1.25
    assert after == pytest.approx(first.posterior[0].predicted, rel=1e-4)
    assert again.row("plan", "kl").inside
    assert again.row("plan", "flips").inside
    # Both files are in the profile: they are no new evidence, and narrow nothing.
    assert any("not counted again: plan, Q4_K_M" in note for note in again.notes)
    assert again.posterior == ()
    assert "profile.json" not in again.files


def test_what_was_done_is_not_done_again(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    first = verified(plan, base, tmp_path / "out", engine)
    done = {name: calls(engine, name) for name in ("llama-bench", "llama-perplexity")}
    assert done == {"llama-bench": 4, "llama-perplexity": 3}
    again = verified(plan, base, tmp_path / "out", engine)
    assert done == {name: calls(engine, name) for name in done}
    assert again == first
    more = verified(plan, base, tmp_path / "out", engine, also=ALSO)
    assert calls(engine, "llama-bench") == 6
    assert calls(engine, "llama-perplexity") == 5  # the checkpoint's answers are made anew
    assert more.row("Q8_0", "kl").measured == 0.010487


def test_what_was_measured_before_a_crash_is_kept(plan, base, quantised, tmp_path):
    broken = fake_llama(tmp_path / "bin", quantised, perplexity="echo fail: no model >&2; exit 7")
    with pytest.raises(DataError, match=r"ended with 7: fail: no model") as caught:
        verified(plan, base, tmp_path / "out", broken)
    assert "kept" in caught.value.hint
    assert not (tmp_path / "out" / "verify.json").exists()
    fake_llama(tmp_path / "bin", quantised)
    verified(plan, base, tmp_path / "out", broken)
    assert (tmp_path / "out" / "verify.json").exists()


def test_a_crash_after_the_times_keeps_them(plan, base, quantised, tmp_path):
    loss = (
        'case "$*" in *"--kl-divergence-base"*"--kl-divergence") kill -11 $$;; esac\n'
        "while [ $# -gt 0 ]; do\n"
        'case "$1" in --kl-divergence-base) echo answers > "$2";; esac; shift; done'
    )
    engine = fake_llama(tmp_path / "bin", quantised, perplexity=loss)
    with pytest.raises(DataError, match="SIGSEGV"):
        verified(plan, base, tmp_path / "out", engine)
    assert calls(engine, "llama-bench") == 2
    fake_llama(tmp_path / "bin", quantised)
    verified(plan, base, tmp_path / "out", engine)
    assert calls(engine, "llama-bench") == 4  # the plan's two are not repeated


def test_a_program_that_hangs_is_stopped_with_its_children(plan, base, quantised, tmp_path):
    hangs = (
        f'echo $$ > "{tmp_path}/pid"; case "$*" in *--version*) echo "version: 1";; '
        "*) echo loading >&2; sleep 1000 & wait;; esac"
    )
    engine = fake_llama(tmp_path / "bin", quantised, bench=hangs)
    with pytest.raises(DataError, match="did not end within 0 s") as caught:
        verified(plan, base, tmp_path / "out", engine, step_seconds=0.3)
    assert "--step-seconds" in caught.value.hint
    kept = tmp_path / "out/work/plan-prompt.txt"
    assert f"all of its output is in {kept}" in caught.value.hint
    assert "loading" in kept.read_text(encoding="utf-8")
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("bench", ['echo "[]"', "echo garbage", "true"])
def test_garbage_is_refused(bench, plan, base, quantised, tmp_path):
    text = f'case "$*" in *--version*) echo "version: 1"; exit 0;; esac\n{bench}'
    engine = fake_llama(tmp_path / "bin", quantised, bench=text)
    with pytest.raises(DataError, match="has not the test"):
        verified(plan, base, tmp_path / "out", engine)


def test_a_type_that_wants_an_importance_matrix_is_refused_before_anything_runs(
    plan, base, quantised, tmp_path, monkeypatch
):
    assert importance_type(planner.load_model("smollm2-135m"), "IQ2_XXS") == "iq2_xxs"
    assert importance_type(planner.load_model("smollm2-135m"), "Q4_K_M") == ""
    monkeypatch.setattr(
        llama_cpp,
        "importance_type",  # rows of the small model hold no such block
        lambda spec, name: "iq2_xxs" if name == "IQ2_XXS" else "",
    )
    engine = fake_llama(tmp_path / "bin", quantised)
    with pytest.raises(UnsupportedError, match="iq2_xxs with an importance matrix only"):
        verified(plan, base, tmp_path / "out", engine, also=["IQ2_XXS"])
    assert calls(engine, "llama-perplexity") == 0


def test_a_text_that_is_too_short_is_told_at_once(plan, base, quantised, tmp_path):
    short = (
        'echo "the data file you provided tokenizes to only 9 tokens" >&2; while [ $# -gt 0 ]'
        '; do case "$1" in --kl-divergence-base) echo > "$2";; esac; shift; done'
    )
    engine = fake_llama(tmp_path / "bin", quantised, perplexity=short)
    with pytest.raises(InputError, match="the text has 9 tokens") as caught:
        verified(plan, base, tmp_path / "out", engine)
    assert "--text" in caught.value.hint
    assert calls(engine, "llama-quantize") == 0


def test_an_engine_that_is_absent_or_too_old_is_told(plan, base, quantised, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"has no llama-quantize and no llama-bench"):
        verified(plan, base, tmp_path / "out", tmp_path)
    monkeypatch.delenv("PLAN_LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="not on PATH") as caught:
        planner.verify(plan, base, output=tmp_path / "out", device=DEVICE)
    assert "PLAN_LLAMA_CPP" in caught.value.hint
    monkeypatch.undo()
    old = fake_llama(tmp_path / "bin", quantised, bench="echo 'unknown argument' >&2; exit 1")
    with pytest.raises(DataError, match="ended with 1") as caught:
        verified(plan, base, tmp_path / "out", old)
    assert "--engine-dir" in caught.value.hint
    silent = fake_llama(tmp_path / "bin", quantised, bench="true")
    with pytest.raises(InputError, match="does not tell its version"):
        verified(plan, base, tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_the_environment_names_the_engine(plan, base, quantised, tmp_path, monkeypatch):
    engine = fake_llama(tmp_path / "bin", quantised)
    monkeypatch.setenv("PLAN_LLAMA_CPP", str(tmp_path))  # the folder above bin is taken, too
    found = planner.verify(plan, base, output=tmp_path / "out", device=DEVICE, threads=1)
    assert found.engine.place == str(engine)


@pytest.mark.parametrize(("layers", "why"), [(1, "it has no blk.1."), (3, "3 layers, not 2")])
def test_a_checkpoint_of_another_model_is_refused(layers, why, plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    other = tmp_path / "other.gguf"
    other.write_bytes(small_gguf(layers=layers))
    with pytest.raises(InputError, match="a checkpoint of another model than small") as caught:
        verified(plan, other, tmp_path / "out", engine, model=str(base))
    assert why in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_quantised_are_refused(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    with pytest.raises(InputError, match=r"quantised already \(Q8_0\)"):
        verified(plan, quantised, tmp_path / "out", engine, model=str(base))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_before_anything_is_written(
    plan, base, quantised, tmp_path, monkeypatch
):
    engine = fake_llama(tmp_path / "bin", quantised)
    free = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr("planner.lab.verifying.llama_files.shutil.disk_usage", lambda path: free)
    with pytest.raises(DataError, match="the disk has 10 B"):
        verified(plan, base, tmp_path / "out", engine)
    assert not list((tmp_path / "out").glob("*.gguf"))


def test_a_type_that_the_quantiser_does_not_have_is_told(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    with pytest.raises(InputError, match="unknown type of llama-quantize 'Q9_9'"):
        verified(plan, base, tmp_path / "out", engine, also=("Q9_9",))


def test_a_folder_of_other_things_is_left_alone(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="holds other files"):
        verified(plan, base, tmp_path / "mine", engine)


def test_another_run_in_the_same_folder_is_refused(plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    verified(plan, base, tmp_path / "out", engine)
    with pytest.raises(DataError, match="unfinished run of another setting"):
        verified(plan, base, tmp_path / "out", engine, prompt_tokens=64)


@pytest.mark.parametrize("more", [{"repeats": 0}, {"prompt_tokens": -1}, {"step_seconds": 0.0}])
def test_nothing_is_run_for_a_count_that_is_none(more, plan, base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    with pytest.raises(InputError, match=f"{next(iter(more))} .* is not above 0"):
        verified(plan, base, tmp_path / "out", engine, **more)
    assert not (tmp_path / "out").exists()


def test_a_finished_file_is_timed_as_it_is(base, quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    settings = {"engine_dir": engine, "device": DEVICE, "threads": 1, "repeats": 3}
    settings |= {"prompt_tokens": 192, "output_tokens": 64}
    found = planner.verify(str(quantised), output=tmp_path / "out", **settings)
    assert calls(engine, "llama-quantize") == 0
    assert calls(engine, "llama-perplexity") == 0
    (engine / "llama-quantize").unlink()
    (engine / "llama-perplexity").rename(tmp_path / "llama-perplexity")
    planner.verify(str(quantised), output=tmp_path / "alone", **settings)  # nothing else is started
    (tmp_path / "llama-perplexity").rename(engine / "llama-perplexity")
    assert "--base" in found.verdict
    assert found.row("plan", "kl").measured is None  # without a base nothing tells its loss
    assert found.row("plan", "kl").predicted > 0
    size = found.row("plan", "file_bytes")
    assert size.measured == quantised.stat().st_size
    assert size.inside
    found = planner.verify(str(quantised), output=tmp_path / "b", base=base, **settings)
    assert found.row("plan", "kl").measured == 0.010487
    assert base.exists()
    assert quantised.exists()


def test_decode_is_timed_at_depths(quantised, tmp_path):
    engine = fake_llama(tmp_path / "bin", quantised)
    found = planner.verify(
        str(quantised),
        output=tmp_path / "out",
        engine_dir=engine,
        device=DEVICE,
        threads=1,
        prompt_tokens=192,
        output_tokens=64,
        depths=[448, 960],
    )
    assert list(found.subjects) == ["plan", "depth 448", "depth 960"]
    deeper = [found.row(name, "cache_tokens").predicted for name in found.subjects]
    assert deeper == [256, 512, 1024]
    steps = [found.row(name, "decode_seconds").predicted for name in found.subjects]
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]
    assert found.row("depth 960", "kl") is None
    assert "After more tokens: depth 960" in str(found)


def test_a_disturbed_timing_is_repeated_widened_and_teaches_nothing(
    plan, base, quantised, tmp_path, monkeypatch
):
    monkeypatch.setattr(llama_cpp, "core_share", lambda _: 0.2)
    engine = fake_llama(tmp_path / "bin", quantised)
    found = verified(plan, base, tmp_path / "out", engine, also=("none",))
    assert calls(engine, "llama-bench") == 2 * llama_cpp.TRIES
    step = found.row("plan", "decode_seconds")
    assert step.spread >= 0.8 * step.measured
    assert step.disturbed
    assert step.inside is None  # it is no evidence for the prediction, nor against it
    assert found.row("plan", "file_bytes").inside
    assert any("busy" in note for note in found.notes)
    with (tmp_path / "out" / "e2e_verify.csv").open(newline="") as file:
        rows = {row["quantity"]: row for row in csv.DictReader(file)}
    assert float(rows["decode_seconds"]["busy"]) == 0.8
    made = calibrate(
        tmp_path / "out", load_device(DEVICE), source="a test", date="2026-12-02", model=None
    )
    assert made.fits == ()
    assert any("20% of its threads' time" in why for _, why in made.skipped)


def test_only_llama_cpp_is_timed_at_depths(plan, base, tmp_path):
    with pytest.raises(UnsupportedError, match="after the prompt alone"):
        planner.verify(plan, base, engine="vllm", depths=[1024], output=tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"plan": "plan.json"}, "no GGUF file"),
        ({"also": ("Q8_0",)}, "finished"),
        ({"engine": "vllm"}, "does not run GGUF"),
    ],
)
def test_what_a_finished_file_cannot_be_asked(given, message, quantised, tmp_path):
    asked = {"plan": str(quantised), "output": tmp_path / "out", "device": DEVICE, **given}
    with pytest.raises((InputError, UnsupportedError), match=message):
        planner.verify(**asked)
