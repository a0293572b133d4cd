"""The folder of an export goes back whole: schemes, caches, engine, layout, workload, device."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.base.errors import DataError, InputError, PlannerError
from planner.cli.export import write_folder
from planner.export.deployment import FILE
from planner.export.plan_files import export_plan, import_plan
from planner.jobs.locks import give_back, held_lock
from planner.planning.plan.record import Plan

MODEL = "llama-3.2-1b"


@pytest.fixture(scope="module")
def planned() -> Plan:
    """Two schemes, and two types of cache by layer, on two devices."""
    base = planner.estimate(
        MODEL,
        "h100-sxm",
        scheme="fp8-channel",
        kv="fp8",
        devices=2,
        tp=2,
        batch=32,
        context=4096,
        isl=3072,
        osl=1024,
    )
    units = tuple(
        replace(u, scheme="bf16", kv_layout="bf16" if u.kv_layout else None)
        if u.layers == (0, 1) and (u.kv_layout or u.kind == "mlp-down")
        else u
        for u in base.units
    )
    return planner.estimate(plan=replace(base, units=units), engine="vllm@0.25")


@pytest.fixture(scope="module")
def folder(planned: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "out"
    write_folder(path, export_plan(planned, "compressed-tensors").files, force=False)
    return path


def decided(plan: Plan) -> set[tuple[str, int, str]]:
    return {(u.kind, layer, u.kv_layout or u.scheme) for u in plan.units for layer in u.layers}


def test_the_folder_goes_back_whole(planned: Plan, folder: Path) -> None:
    again = import_plan(folder, MODEL)
    assert decided(again) == decided(planned)
    assert {u.kv_layout for u in planned.units if u.kv_layout} == {"bf16", "fp8"}
    for part in ("engine", "layout", "workload", "memory_per_device", "performance"):
        assert getattr(again, part) == getattr(planned, part), part
    assert again.device.count == 2
    assert any(a.key == "imported" and FILE in a.reason for a in again.assumptions)


def test_prefix_hits_and_slots_go_there_and_back(tmp_path: Path) -> None:
    plan = planner.estimate(
        MODEL,
        "h100-sxm",
        scheme="fp8-channel",
        devices=1,
        batch=4,
        context=16384,
        isl=8192,
        osl=512,
        prefix_hit_rate=0.5,
        slots="full",
        engine="vllm",
    )
    write_folder(tmp_path / "out", export_plan(plan, "compressed-tensors").files, force=False)
    again = import_plan(tmp_path / "out", MODEL)
    for part in ("workload", "memory_per_device", "performance"):
        assert getattr(again, part) == getattr(plan, part), part
    other = import_plan(tmp_path / "out", MODEL, isl=4096, osl=512)
    assert other.workload.prefix_hit_rate == 0.0
    data = json.loads((tmp_path / "out" / FILE).read_text())
    for key, value in (("prefix_hit_rate", 1.5), ("slots", "half")):
        changed = {**data, "workload": {**data["workload"], key: value}}
        (tmp_path / "out" / FILE).write_text(json.dumps(changed))
        with pytest.raises(PlannerError, match=key):
            import_plan(tmp_path / "out", MODEL)


def test_what_is_given_replaces_what_the_folder_says(folder: Path) -> None:
    again = import_plan(
        folder, MODEL, "h200-sxm", kv="bf16", batch=8, engine="vllm@0.28", context=2048
    )
    assert (again.device.id, again.workload.batch) == ("h200-sxm", 8)
    assert again.workload.context_tokens == 2048
    assert again.engine.version == "0.28"
    assert {u.kv_layout for u in again.units if u.kv_layout} == {"bf16"}


def test_the_configuration_alone_names_no_device_and_no_engine(folder: Path) -> None:
    file = folder / "quantization_config.json"
    with pytest.raises(InputError, match="names no device"):
        import_plan(file, MODEL)
    asked: dict[str, Any] = {"devices": 2, "tp": 2, "batch": 32, "context": 4096}
    assert import_plan(file, MODEL, "h100-sxm", **asked).engine.name == "any"
    served = import_plan(file, MODEL, "h100-sxm", engine="vllm@0.25", **asked)
    assert (served.engine.name, served.engine.version) == ("vllm", "0.25")


def test_schemes_that_a_format_cannot_tell_go_back_as_planned(tmp_path: Path) -> None:
    plan = planner.estimate(MODEL, "xeon-6980p", scheme="fp8-w8a16", devices=1, batch=4)
    write_folder(tmp_path / "out", export_plan(plan, "fp8", engine="sglang").files, force=False)
    again = import_plan(tmp_path / "out", MODEL)
    assert decided(again) == decided(plan)
    assert again.performance == plan.performance


def test_an_older_export_in_the_folder_does_not_count(planned: Plan, tmp_path: Path) -> None:
    """The file that the deployment names is read, whatever else lies there."""
    out = tmp_path / "out"
    older = planner.estimate(MODEL, "h100-sxm", scheme="fp8-tensor", devices=1, batch=4)
    write_folder(out, export_plan(older, "modelopt", engine="any").files, force=False)
    write_folder(out, export_plan(planned, "compressed-tensors").files, force=True)
    assert (out / "hf_quant_config.json").is_file()
    assert decided(import_plan(out, MODEL)) == decided(planned)
    (out / "quantization_config.json").unlink()
    with pytest.raises(InputError, match="no configuration"):
        import_plan(out, MODEL)


@pytest.mark.parametrize("force", [False, True])
def test_two_exports_are_never_mixed(force: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    held = held_lock(tmp_path / ".out.lock", out)
    with pytest.raises(DataError, match="out: another run is writing it"):
        write_folder(out, {"a": "mine"}, force=force)
    assert not out.exists()
    give_back(held)
    write_folder(out, {"a": "mine"}, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_gptq_goes_there_and_back(tmp_path: Path) -> None:
    plan = planner.plan(
        MODEL,
        "xeon-6980p",
        engine="vllm",
        devices=1,
        tp=1,
        batch=4,
        max_loss="int4-w4a16",
        schemes=["bf16", "int4-w4a16"],
    )
    write_folder(tmp_path / "out", export_plan(plan, "gptq").files, force=False)
    again = import_plan(tmp_path / "out", MODEL)
    assert decided(again) == decided(plan)
    assert again.performance == plan.performance
    assert again.engine == plan.engine


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no/out", "does not exist"),
        ("file/out", "is no folder"),
        ("closed/out", "cannot be written"),
    ],
)
def test_the_folder_around_is_named_where_it_is_at_fault(
    place: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never the draft, whose name nobody chose."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "closed").mkdir()

    def refuse(*, dir: Path, prefix: str) -> str:
        raise PermissionError(13, "Permission denied", str(dir / (prefix + "a1b2")))

    if place.startswith("closed"):
        monkeypatch.setattr("tempfile.mkdtemp", refuse)
    around = (tmp_path / place).parent
    with pytest.raises(InputError, match=said) as caught:
        write_folder(tmp_path / place, {"a": ""}, force=False)
    assert str(around) in caught.value.message
    assert ".out." not in caught.value.message
    assert caught.value.hint


def test_formats_without_a_reader_say_so(tmp_path: Path) -> None:
    plan = planner.estimate(MODEL, "h100-sxm", scheme="int8-w8a16", devices=1, batch=4)
    write_folder(tmp_path / "out", export_plan(plan, "torchao", engine="any").files, force=False)
    with pytest.raises(InputError, match="no configuration that import reads"):
        import_plan(tmp_path / "out", MODEL)


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"schema_version": "2"}, "schema_version"),
    ({"schema_version": None}, "schema_version"),
    ({"surprise": 1}, "surprise"),
    ({"configuration": "../quantization_config.json"}, "understood"),
    ({"configuration": "README.md"}, "understood"),
    ({"model": {"id": MODEL, "config_sha256": "0" * 64}}, "another configuration"),
    ({"model": {"id": "<script>alert(1)</script>", "config_sha256": ""}}, "an id is needed"),
    ({"device": {"id": "../../etc/passwd", "count": 1}}, "an id is needed"),
    ({"device": {"id": "h100-sxm", "count": 10**30}}, "range"),
    ({"device": {"id": "h100-sxm", "count": True}}, "integer"),
    ({"device": []}, "object"),
    ({"engine": {"name": "nobody", "version": None}}, "understood"),
    ({"engine": {"name": "vllm", "version": "9" * 5000}}, "version"),
    ({"engine": {"name": "vllm", "version": ["0.25"]}}, "version"),
    ({"workload": {"context_tokens": -1, "isl": 1, "osl": 1, "batch": 1}}, "range"),
    ({"layout": {"tp": 0, "dp": 1, "pp": 1, "ep": 1}}, "range"),
    ({"layout": {"tp": 3, "dp": 1, "pp": 1, "ep": 1}}, "tp"),
    ({"caches": {}}, "missing"),
    ({"caches": {"kv-k": {"fp8": [0] * 10_000}}}, "said twice"),
    ({"caches": {"kv-k": {"fp8": [10**9]}}}, "range"),
    ({"caches": {"kv-sideways": {"fp8": [0]}}}, "not in"),
    ({"caches": {"kv-k": {"no-such-layout": [0]}}}, "no cache layout"),
    ({"stored_as": {"fp8-block": "no-such-scheme"}}, r"understood: .* and \d+ more"),
    ({"stored_as": {"fp8-block": "FP8-Blok"}}, "understood: fp8-block,"),
    ({"stored_as": {"fp8-block": [1]}}, r"understood: .* and \d+ more"),
]


@pytest.mark.parametrize(("change", "words"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_deployments(
    change: dict[str, Any], words: str, folder: Path, tmp_path: Path
) -> None:
    for name in ("quantization_config.json", FILE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    data = json.loads((tmp_path / FILE).read_text(encoding="utf-8")) | change
    (tmp_path / FILE).write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(PlannerError, match=words) as caught:
        import_plan(tmp_path, MODEL)
    assert len(caught.value.message) < 600


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"a":' * 5000,
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 6000 + b"}",
        b'{"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["' + b"*a" * 400 + b'"]}}',
        b'{"quantization": {"quant_algo": "MIXED_PRECISION", "quantized_layers": {"<b>": 7}}}',
        b'{"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups":'
        b' {"g": {"targets": ["re:(a+)+$"], "weights": {"num_bits": 8, "type": "float"}}}}',
        b'{"quantization": {"quant_algo": "FP8", "exclude_modules": ['
        + b",".join(b'"a%d"' % i for i in range(1_100_000))
        + b"]}}",
    ],
    ids=range(14),
)
def test_hostile_configurations(text: bytes, tmp_path: Path) -> None:
    """Bounded: none of them is read for longer than a few seconds, or with a traceback."""
    (tmp_path / "hf_quant_config.json").write_bytes(text)
    with pytest.raises(PlannerError) as caught:
        import_plan(tmp_path / "hf_quant_config.json", MODEL, "h100-sxm", devices=1, batch=1)
    assert len(caught.value.message) < 600


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"head": "int8-w8a16", "embedding": "int8-w8a16"}, "compressed-tensors"),
        ({"head": "int8-w8a16"}, "gptq"),
        ({}, "compressed-tensors"),
    ],
)
def test_heads_and_tables_go_there_and_back(
    changes: dict[str, str], target: str, tmp_path: Path
) -> None:
    base = planner.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="int8-w8a16", devices=1, batch=4, engine="any"
    )
    plan = planner.estimate(
        plan=replace(
            base,
            units=tuple(
                replace(unit, scheme=changes.get(unit.kind, unit.scheme)) for unit in base.units
            ),
        )
    )
    assert {u.kind: u.scheme for u in plan.units if u.kind in ("head", "embedding")} == {
        "head": "bf16",
        "embedding": "bf16",
    } | changes
    write_folder(tmp_path / "out", export_plan(plan, target, engine="any").files, force=False)
    again = import_plan(tmp_path / "out", "llama-3.1-8b")
    assert {u.unit: u.scheme for u in again.units} == {u.unit: u.scheme for u in plan.units}
    assert again.performance == plan.performance
    assert again.memory_per_device == plan.memory_per_device


def test_an_indexer_that_was_widened_comes_back_wide(tmp_path: Path) -> None:
    """BF16 where the release has FP8 blocks: a plan file says it, and so does what it becomes."""
    base = planner.estimate(
        "deepseek-v3.2",
        "h200-sxm",
        scheme="fp8-block-ue8m0",
        devices=16,
        tp=8,
        dp=2,
        ep=16,
        batch=32,
    )
    plan = planner.estimate(
        plan=replace(
            base,
            units=tuple(
                replace(unit, scheme="bf16") if unit.kind == "indexer" else unit
                for unit in base.units
            ),
        )
    )
    write_folder(tmp_path / "out", export_plan(plan, "fp8", engine="any").files, force=False)
    for one in (plan, import_plan(tmp_path / "out", "deepseek-v3.2")):
        assert {u.scheme for u in one.units if u.kind == "indexer"} == {"bf16"}
    write_folder(tmp_path / "kept", export_plan(base, "fp8", engine="any").files, force=False)
    kept = import_plan(tmp_path / "kept", "deepseek-v3.2")
    assert {u.scheme for u in kept.units if u.kind == "indexer"} == {"fp8-block-ue8m0"}
    assert kept.memory_per_device == base.memory_per_device


def test_what_a_plan_cannot_say_is_told_of_a_folder_that_names_its_cache() -> None:
    """The first note was left out as if it were the one of a cache that is not named."""
    stored = Path(__file__).parents[1] / "golden" / "exports" / "modelopt"
    made = import_plan(stored, "llama-3.2-1b", "b200-sxm")
    assert [one.reason for one in made.assumptions if one.key == "imported"] == [
        f"from hf_quant_config.json and {FILE}",
        "scales of activations are calibrated (static); a plan's are dynamic",
    ]
    assert planner.read_plan(json.loads(json.dumps(made.to_dict()))) == made
