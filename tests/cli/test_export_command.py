"""``plan export`` and ``plan import`` on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.cli.main import run
from tests.support import theory

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


@pytest.fixture(scope="module")
def plan_data() -> dict[str, Any]:
    return theory.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="fp8-channel", kv="fp8", devices=1, batch=8
    ).to_dict()


@pytest.fixture
def plan_file(tmp_path: Path, plan_data: dict[str, Any]) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_data), encoding="utf-8")
    return path


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run([str(word) for word in arguments]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
    return first + second


def test_export_then_import(
    tmp_path: Path, plan_file: Path, plan_data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["export", str(plan_file), str(out), "--to", "compressed-tensors"]) == 0
    told = capsys.readouterr()
    assert (
        {Path(line).name for line in told.out.splitlines()}
        == {
            "quantization_config.json",
            "recipe.yaml",
            "quantise.py",
            "README.md",
            "deployment.json",
            "serve-vllm.sh",
            "serve-sglang.sh",
        }
        == {path.name for path in out.iterdir()}
    )
    assert "vllm 0.33.0: serves it" in told.err
    assert (out / "serve-vllm.sh").stat().st_mode & 0o111
    assert "--kv-cache-dtype fp8" in (out / "serve-vllm.sh").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    back = tmp_path / "back.json"
    arguments = [
        "import",
        str(out / "quantization_config.json"),
        "llama-3.1-8b",
        "--device",
        "h100-sxm",
        "--devices",
        "1",
        "--batch",
        "8",
        "--engine",
        plan_data["engine"]["name"],
        "-o",
        str(back),
    ]
    assert run([*arguments, "--quiet"]) == 0
    capsys.readouterr()
    again = json.loads(back.read_text(encoding="utf-8"))
    assert again["units"] == plan_data["units"]
    assert again["memory_per_device"] == plan_data["memory_per_device"]
    assert "exists" in fails(capsys, *arguments)


def test_what_the_configuration_leaves_out_fits_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = planner.plan("gemma-3-1b", "l40s", devices=1, batch=8, engine="vllm", kv="int8-token")
    (tmp_path / "plan.json").write_text(json.dumps(made.to_dict()), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "60")
    assert (
        run(
            [
                "export",
                str(tmp_path / "plan.json"),
                str(tmp_path / "out"),
                "--to",
                "compressed-tensors",
            ]
        )
        == 0
    )
    told = capsys.readouterr().err
    assert "not in the configuration: kv-k of layers" in told
    assert max(map(len, told.splitlines())) <= 60


def test_nothing_is_written_over(
    tmp_path: Path, plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine", encoding="utf-8")
    arguments = ["export", plan_file, out, "--to", "compressed-tensors"]
    assert "--force" in fails(capsys, *arguments)
    assert [path.name for path in out.iterdir()] == ["README.md"]
    assert (out / "README.md").read_text(encoding="utf-8") == "mine"
    assert run([*map(str, arguments), "--force"]) == 0
    assert (out / "README.md").read_text(encoding="utf-8") != "mine"


def test_expand_names_every_module(
    tmp_path: Path, plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(
            [
                "export",
                str(plan_file),
                str(tmp_path / "o"),
                "--to",
                "compressed-tensors",
                "--expand",
                "--quiet",
            ]
        )
        == 0
    )
    data = json.loads((tmp_path / "o" / "quantization_config.json").read_text(encoding="utf-8"))
    assert len(data["config_groups"]["group_0"]["targets"]) == 32 * 7
    capsys.readouterr()
    assert "expand" in fails(
        capsys, "export", plan_file, tmp_path / "p", "--to", "modelopt", "--expand"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": {"id": "../../etc/passwd"}}, "passwd' is not an id"),
        ({"model": {"id": "nobodys-model"}}, "no bundled model"),
        ({"model": {"config_sha256": "0" * 64}}, "another configuration"),
        ({"device": {"id": "/etc/hostname"}}, "is not an id"),
        ({"schema_version": "0"}, "schema_version"),
        ({"surprise": 1}, "surprise"),
        ({"layout": {"tp": 10**18}}, "does not divide"),
        ({"layout": {"pp": 0}}, "at least 1"),
        ({"layout": {"replicas": 3}}, "3 ranks, and the plan 1 devices"),
        ({"workload": {"batch": -5}}, "-5 is less than 1"),
        ({"workload": {"context_tokens": 1 << 60}}, "out of range"),
        ({"model": {"id": "<script>alert(1)</script>"}}, "model.id"),
        ({"units": "no"}, "units"),
    ],
)
def test_hostile_plans(
    change: dict[str, Any],
    words: str,
    tmp_path: Path,
    plan_data: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = dict(plan_data)
    for key, value in change.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) else value
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert words in fails(capsys, "export", path, tmp_path / "o", "--to", "compressed-tensors")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ({"scheme": "no-such-scheme"}, "scheme: 'no-such-scheme' is not one"),
        ({"layers": [0, 0]}, "repeated"),
        ({"layers": [0]}, "has no unit"),
        ({"layers": [10**9]}, "is none of 2000"),
        ({"kind": "mlp-sideways"}, "kind: 'mlp-sideways' is not one"),
        ({"kind": "kv-latent"}, "has no 'kv-latent'"),
        ({"kind": "head", "scheme": "int8-w8a8", "layers": []}, "mlp-down of layer 0 has no unit"),
    ],
)
def test_hostile_units(
    unit: dict[str, Any],
    words: str,
    tmp_path: Path,
    plan_data: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    units = [dict(one) for one in plan_data["units"]]
    next(one for one in units if one["kind"] == "mlp-down").update(unit)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**plan_data, "units": units}), encoding="utf-8")
    assert words in fails(capsys, "export", path, tmp_path / "o", "--to", "compressed-tensors")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({**FP8, "weight_block_size": [64, 64]}, "only 128x128"),
        ({**FP8, "surprise": 1}, "surprise"),
        ({"model_type": "qwen3", "quantization_config": FP8}, "model_type"),
        (
            {"model_type": "llama", "num_hidden_layers": 31, "quantization_config": FP8},
            "num_hidden_layers",
        ),
        ({"model_type": "llama"}, "no quantisation"),
        ({"quantization": {"quant_algo": "FP4_OF_NOBODY"}}, "quant_algo"),
    ],
)
def test_configurations_that_are_not_understood(
    data: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    told = fails(
        capsys, "import", path, "llama-3.1-8b", "--device", "h100-sxm", "-o", tmp_path / "plan.json"
    )
    assert words in told
    assert not (tmp_path / "plan.json").exists()
