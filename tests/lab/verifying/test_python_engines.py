"""vLLM and PyTorch by their adapters, with a Python that answers as theirs did."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.checkpoints import write_llama

from planner.base.errors import DataError, InputError, UnknownNameError
from planner.export import compressed_tensors, torchao
from planner.lab.verifying.adapter import Address
from planner.lab.verifying.predict import LESS, fewer_notes
from planner.lab.verifying.processes import EngineFailedError
from planner.lab.verifying.python_engines import (
    TOKENS,
    fewer_pieces,
    fewer_runs,
    timed,
    uniform,
)
from planner.lab.verifying.records import InstalledEngine, Setting, Task
from planner.lab.verifying.run import Findings, adapter, measure
from planner.lab.verifying.writing import prepare
from planner.lookup import load_model
from planner.models.headers import read_extents

# What the runners answered on an AVX-512 machine, shortened; sizes are of the model there.
ANSWER = {
    "vllm": {
        "engine": "vllm",
        "complete": True,
        "version": "0.32.0",
        "isa": "AVX512",
        "threads": 1,
        "load_seconds": 21.4,
        "weight_bytes": 279150592,
        "blocks": 364,
        "kernels": {
            "CompressedTensorsLinearMethod/CompressedTensorsW8A8Int8/"
            "CPUInt8ScaledMMLinearKernel": 120
        },
        "block_tokens": 128,
        "cache_tokens": 46592,
        "cache_bytes": 1073479680,
        "peak_bytes": 3569864704,
    },
    "pytorch": {
        "engine": "pytorch",
        "complete": True,
        "version": "2.13.0+cpu",
        "isa": "AVX512",
        "threads": 1,
        "load_seconds": 22.1,
        "weight_bytes": 163639552,
        "kernels": {"Embedding/Tensor": 1, "Linear/Int8Tensor": 210},
        "cache_bytes": 1658880,
        "peak_bytes": 1216692224,
    },
}
VERSIONS = {"vllm": "0.32.0", "torch": "2.13.0+cpu", "transformers": "5.17.0", "torchao": "0.18.0"}
FAKE = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
if words[0] == "-c":
    print((here / "versions.json").read_text()); sys.exit()
if words[0].endswith("quantise.py"):
    out = pathlib.Path(words[2]); out.mkdir()
    (out / "config.json").write_text("{{}}"); (out / "model.safetensors").write_bytes(b"x" * 99)
    sys.exit()
import numpy
asked = json.loads(pathlib.Path(words[1]).read_text())
answer = json.loads((here / "answer.json").read_text())
(here / "threads").write_text(os.environ.get("OMP_NUM_THREADS", ""))
if (here / "silent").exists():
    print("Killed by the kernel: error"); sys.exit(1)
if asked["logits"] and "error" not in answer:
    tokens = numpy.load(asked["tokens"])
    rng = numpy.random.default_rng(len(asked["model"]))
    numpy.save(asked["logits"], rng.standard_normal(
        (len(tokens), tokens.shape[1] - 1 - asked["from_position"], 128)).astype("f4"))
answer["runs"] = [
    {{"batch": b, "prompt": asked["prompt"], "new_tokens": asked["new_tokens"],
      "prefill_seconds": 0.5 * b, "prefill_steps": 1, "decode_seconds": [0.03, 0.02, 0.04]}}
    for b in asked["batches"] for _ in range(asked["repeats"])]
pathlib.Path(words[2]).write_text(json.dumps(answer))
sys.exit(1 if "error" in answer else 0)
"""
SETTING = Setting(16, 4, 1, 2, 16, 2, 1e6)


def fake(folder: Path, engine: str, **changes: Any) -> Path:
    """A Python that has the engine, and answers as it did."""
    folder.mkdir()
    (folder / "versions.json").write_text(json.dumps(VERSIONS), encoding="utf-8")
    (folder / "answer.json").write_text(json.dumps(ANSWER[engine] | changes), encoding="utf-8")
    python = folder / "python"
    python.write_text(FAKE.format(python=sys.executable), encoding="utf-8")
    python.chmod(0o755)
    return python


def task(tmp_path: Path, engine: str, also: tuple[str, ...] = (), **changes: Any) -> Task:
    """A plan in INT8 of a small model."""
    source = tmp_path / "m"
    if not source.exists():
        write_llama(source)
    np.save(tmp_path / "ids.npy", np.arange(64) % 128)
    spec = load_model(str(source))
    assignment = uniform(spec, "int8-w8a8", ("int8-w8a8",))
    files = (compressed_tensors if engine == "vllm" else torchao).export(assignment).files
    place = tmp_path / "python" / "python"
    if not place.exists():
        fake(tmp_path / "python", engine, **changes)
    found = adapter(engine).find(Address(python=str(place)))
    return Task(
        None,
        spec,
        assignment,
        files,
        source,
        tmp_path / "ids.npy",  # type: ignore[arg-type]
        tmp_path / "out",
        found,
        SETTING,
        also,
    )


def ran(asked: Task) -> Findings:
    tool = adapter(asked.engine.name)
    tool.check(asked)
    prepare(asked.folder)
    return measure(tool, asked, "1")


@pytest.fixture(autouse=True)
def _plans_as_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.lab.verifying.run.plain_data", lambda thing: repr(thing))


def test_vllm_is_asked_for_sizes_times_and_losses(tmp_path: Path) -> None:
    asked = task(tmp_path, "vllm", ("fp8-channel", "bf16"))
    assert asked.engine == InstalledEngine("vllm", "0.32.0", asked.engine.place, "torch 2.13.0+cpu")
    found = ran(asked)
    assert [(s.id, s.role) for s in found.subjects] == [
        ("plan", "plan"),
        ("bf16", "default"),
        ("fp8-channel", "also"),
    ]
    values = found.values["plan"]
    assert values["decode_seconds"].value == 0.02
    assert values["prefill_seconds"].value == 0.5
    assert values["cache_tokens"].value == 46592
    assert values["kl"].value > 0
    assert 0 < values["flips"].value <= 1
    assert found.values["bf16"]["kl"].value == 0
    assert found.facts["bf16"]["scheme"] == ""
    assert found.facts["fp8-channel"]["scheme"] == "fp8-channel"
    assert found.facts["plan"]["batch_4"]["prefill_seconds"] == 2.0
    names = {e.tensor.name for e in read_extents(asked.folder / "plan/model.safetensors")[0]}
    assert "model.layers.0.self_attn.q_proj.weight_scale" in names
    left = sorted(p.name for p in asked.folder.iterdir())
    assert left == ["plan", "verify.journal", "work"]
    question = json.loads((asked.folder / "work/plan-run.question.json").read_text("utf-8"))
    assert (question["kv_dtype"], question["max_model_len"], question["eager"]) == (
        "auto",
        20,
        True,
    )


@pytest.mark.exhaustive
def test_vllm_has_its_own_threads_whatever_is_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = ran(task(tmp_path, "vllm", ("none",)))
    assert (tmp_path / "python/threads").read_text("utf-8") == "1"
    assert [s.id for s in found.subjects] == ["plan"]


def test_pytorch_quantises_by_the_exported_script(tmp_path: Path) -> None:
    found = ran(task(tmp_path, "pytorch"))
    assert found.values["plan"]["file_bytes"].value == 99
    assert found.values["plan"]["weight_bytes"].value == 163639552
    assert "cache_tokens" not in found.values["plan"]
    assert found.values["plan"]["kl"].value > 0


@pytest.mark.exhaustive
def test_what_an_engine_says_is_told_and_what_was_measured_stays(tmp_path: Path) -> None:
    words = "ValueError: Failed to find a kernel that can implement the WNA16 linear layer."
    asked = task(tmp_path, "vllm")
    ran(replace(asked, also=()))
    (tmp_path / "python/answer.json").write_text(
        json.dumps(ANSWER["vllm"] | {"complete": False, "error": words}), encoding="utf-8"
    )
    again = replace(asked, also=("fp8-channel",))
    with pytest.raises(EngineFailedError, match=r"vllm 0.32.0: ValueError: Failed to find a ker"):
        ran(again)
    (tmp_path / "python/answer.json").write_text(json.dumps(ANSWER["vllm"]), encoding="utf-8")
    assert ran(again).values["plan"]["cache_tokens"].value == 46592


def test_an_engine_that_dies_without_a_word(tmp_path: Path) -> None:
    asked = task(tmp_path, "vllm")
    (tmp_path / "python/silent").touch()
    with pytest.raises(EngineFailedError, match="left no answer"):
        ran(asked)


def test_an_engine_that_is_not_there_or_too_old(tmp_path: Path) -> None:
    vllm, torch = adapter("vllm"), adapter("pytorch")
    with pytest.raises(InputError, match="no such program"):
        vllm.find(Address(python=str(tmp_path / "none")))
    python = fake(tmp_path / "python", "vllm")
    for versions, engine, words in (
        ({}, vllm, "vLLM is not installed"),
        ({"vllm": "0.6.4"}, vllm, "0.6.4 .* is too old"),
        ({"torch": "2.13"}, torch, "transformers not installed"),
        ({"torch": "2.1", "transformers": "5"}, torch, "too old"),
    ):
        (python.parent / "versions.json").write_text(json.dumps(versions), encoding="utf-8")
        with pytest.raises(InputError, match=words):
            engine.find(Address(python=str(python)))


def test_another_model_and_unknown_settings_are_refused(tmp_path: Path) -> None:
    asked = task(tmp_path, "vllm")
    other = write_llama(tmp_path / "other", num_hidden_layers=1)
    with pytest.raises(InputError, match="a checkpoint of another model: 1 layers"):
        ran(replace(asked, checkpoint=other))
    with pytest.raises(UnknownNameError, match="nvfp4"):
        ran(replace(asked, also=("nvfp4",)))
    with pytest.raises(InputError, match="a cache in int8-token"):
        ran(replace(asked, setting=replace(SETTING, cache="int8-token")))
    short = tmp_path / "short.npy"
    np.save(short, np.arange(5))
    with pytest.raises(DataError, match="5 token ids of this model, 32 are needed"):
        ran(replace(asked, text=short))


def test_the_least_step_of_all_runs_counts() -> None:
    runs = [
        {"batch": 1, "prefill_seconds": p, "decode_seconds": steps}
        for p, steps in ((2.0, [0.3, 0.2]), (1.5, [0.25, 0.4]))
    ]
    values, others = timed({"runs": runs})
    assert values["prefill_seconds"].value == 1.5
    assert values["decode_seconds"].value == 0.2
    assert values["decode_seconds"].repeats == 4
    assert others["median_decode_seconds"] == pytest.approx(0.275)


def test_what_was_timed_less_than_asked_for_is_told() -> None:
    whole = [{"batch": batch, "decode_seconds": [0.1] * 3} for batch in (1, 4) for _ in range(2)]
    assert fewer_runs({"runs": whole}, SETTING) == {}
    slow = [*whole[:2], {"batch": 4, "decode_seconds": [2.4, 2.5]}]
    assert fewer_runs({"runs": slow}, SETTING) == {
        "fewer_runs": "4 sequences: 1 of 2 repeats, 2 of 3 decode steps"
    }
    assert fewer_pieces({"chunks": 2}, SETTING) == fewer_pieces({}, SETTING) == {}
    assert fewer_pieces({"chunks": 1}, SETTING) == {
        "fewer_pieces": "loss: 1 of 2 pieces of the text"
    }


@pytest.mark.exhaustive
def test_a_loss_is_of_the_pieces_that_a_slow_engine_answered(tmp_path: Path) -> None:
    asked = task(tmp_path, "vllm", ("fp8-channel",))
    python = tmp_path / "python/python"
    text = python.read_text(encoding="utf-8")
    python.write_text(
        text.replace("(len(tokens), ", "(1 if 'fp8' in asked['model'] else 2, ").replace(
            'answer["runs"] =',
            "answer['chunks'] = 1 + ('fp8' not in asked['model'])\nanswer[\"runs\"] =",
        ),
        encoding="utf-8",
    )
    found = ran(asked)
    assert found.values["plan"]["kl"].repeats == 2 * found.values["fp8-channel"]["kl"].repeats > 0
    assert fewer_notes(found) == (f"fp8-channel: {LESS}: loss: 1 of 2 pieces of the text",)


def test_token_ids_are_pieces_of_the_text(tmp_path: Path) -> None:
    asked = task(tmp_path, "vllm")
    prepare(asked.folder)
    adapter("vllm").before(asked)[0].run()
    ids = np.load(asked.folder / TOKENS)
    assert ids.shape == (2, 16)
    assert (ids.reshape(-1) == np.arange(32)).all()


@pytest.mark.sample(1)
@pytest.mark.parametrize("engine", ["vllm", "pytorch"])
def test_a_checkpoint_that_was_written_and_not_noted_is_written_again(
    tmp_path: Path, engine: str
) -> None:
    asked = task(tmp_path, engine)
    left = tmp_path / "out" / "plan"
    left.mkdir(parents=True)
    (left / "of an earlier run").write_text("", encoding="utf-8")
    assert ran(asked).values["plan"]["file_bytes"].value > 0
    assert not (left / "of an earlier run").exists()


def test_vllm_is_run_on_cpus_only(tmp_path: Path) -> None:
    asked = task(tmp_path, "vllm")
    with pytest.raises(InputError, match="no CPU"):
        ran(replace(asked, setting=replace(SETTING, on_cpu=False)))
