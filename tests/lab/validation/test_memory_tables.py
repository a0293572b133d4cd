"""The memory predictor on made-up tables: modes, reasons, regimes, names it does not know."""

import csv
import json
from pathlib import Path

import pytest

from planner.base.errors import DataError, UnknownNameError
from planner.base.units import GIB
from planner.lab.validation.grouping import people, summary, worst
from planner.lab.validation.names import (
    device_name,
    engine_name,
    format_name,
    model_name,
    unit_bytes,
)
from planner.lab.validation.records import REASONS, Validation
from planner.lab.validation.run import validate

BASE = {
    "source": "s",
    "engine": "vllm",
    "engine_version": "0.19.0 (V1)",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "checkpoint_dtype": "BF16",
    "kv_dtype": "auto(bf16)",
    "device": "H100 80GB (79.19 GiB)",
    "n_devices": "1.0",
    "tp": "1",
    "pp": "1",
    "dp": "1",
    "ep": "1",
    "gpu_memory_utilization": "0.95",
    "max_model_len": "8192",
    "max_num_batched_tokens": "8192",
    "block_size": "16.0",
    "quantity": "weights_gib_per_gpu",
    "value": "14.99",
    "unit": "GiB",
    "raw_line": "",
    "confidence": "high",
    "notes": "",
}


def table(folder: Path, *rows: dict[str, str], name: str = "some_logs") -> Validation:
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(BASE))
        writer.writeheader()
        writer.writerows({**BASE, **row} for row in rows)
    return validate(folder, only="memory")


def reasons(report: Validation) -> dict[str, int]:
    return {u.reason: u.n for u in report.uncovered}


def test_weights_appear_once_and_caches_in_two_modes(tmp_path: Path) -> None:
    report = table(
        tmp_path,
        {},
        {"quantity": "kv_gib_per_gpu", "value": "58.11"},
        {"quantity": "activation_gib", "value": "1.89"},
        {"quantity": "nontorch_gib", "value": "0.25"},
    )
    modes = {(g.quantity, g.mode): g for g in report.groups}
    assert set(modes) == {
        ("weights_gib_per_gpu", "predicted"),
        ("kv_gib_per_gpu", "predicted"),
        ("kv_gib_per_gpu", "given-overheads"),
        ("activation_gib", "predicted"),
        ("nontorch_gib", "predicted"),
    }
    weights = modes["weights_gib_per_gpu", "predicted"]
    assert (
        weights.n,
        weights.n_rows,
        weights.device,
        weights.model,
        weights.format,
        weights.regime,
    ) == (1, 1, "h100-sxm", "llama-3.1-8b", "bf16", "headline")
    assert weights.median_ape is not None
    assert weights.median_ape < 0.05
    given = modes["kv_gib_per_gpu", "given-overheads"]
    assert given.median_ape is not None
    assert given.median_ape < 0.05
    assert given.coverage80 == 100.0


def test_given_overheads_change_the_pool_byte_for_byte(tmp_path: Path) -> None:
    rows = [
        {"quantity": "kv_gib_per_gpu", "value": "50"},
        {"quantity": "nontorch_gib", "value": "0.25"},
    ]
    pools = []
    for activation in ("1.00", "3.00"):
        report = table(tmp_path, *rows, {"quantity": "activation_gib", "value": activation})
        pools.append(
            next(
                o.predicted
                for o in report.outcomes
                if o.quantity == "kv_gib_per_gpu" and o.mode == "given-overheads"
            )
        )
    assert pools[0] - pools[1] == pytest.approx(2 * GIB, abs=2)


def test_overheads_of_other_starts_count_if_they_are_alike(tmp_path: Path) -> None:
    overheads = [
        {"quantity": "activation_gib", "value": "1.89"},
        {"quantity": "nontorch_gib", "value": "0.25"},
    ]
    for other, covered in [
        ({"max_model_len": "32768"}, 1),
        ({"kv_dtype": "fp8"}, 1),
        ({"tp": "2", "n_devices": "2.0"}, 0),
        ({"checkpoint_dtype": "FP32 (--dtype float32)"}, 0),
    ]:
        report = table(
            tmp_path, *overheads, {"quantity": "kv_gib_per_gpu", "value": "58.11", **other}
        )
        group = next(g for g in report.groups if g.mode == "given-overheads")
        assert (group.n, group.n_rows) == (covered, 1), other


def test_a_cache_figure_stands_in_where_no_overheads_are_printed(tmp_path: Path) -> None:
    report = table(
        tmp_path,
        {"quantity": "kv_tokens_per_replica", "value": "476000.0", "unit": "tokens"},
        {"quantity": "kv_gib_per_gpu", "value": "58.11"},
    )
    done = {o.quantity: o.predicted for o in report.outcomes if o.mode == "given-overheads"}
    assert done["kv_gib_per_gpu"] == 476000 * 131072
    assert done["kv_tokens_per_replica"] == int(58.11 * GIB) // (16 * 131072) * 16


def test_a_server_loads_the_encoder_of_images(tmp_path):
    """A log of weights is of the whole model unless it says otherwise: 54.86 GB of Gemma 3 27B."""
    report = table(
        tmp_path,
        {"model": "google/gemma-3-27b-it", "quantity": "weights_gib_per_gpu", "value": "51.2"},
    )
    (weights,) = [o for o in report.outcomes if o.mode == "predicted"]
    assert weights.predicted is not None
    assert 54.86e9 < weights.predicted < 55.0e9


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"model": "someone/unheard-of-9b"}, "unknown model"),
        ({"engine": "tgi"}, "unknown engine"),
        ({"checkpoint_dtype": "3-bit"}, "unknown format"),
        ({"checkpoint_dtype": "GGUF Q4_K_M"}, "gguf mixture"),
        ({"model": "meta-llama/Llama-4-Scout-17B-16E"}, "parts missing"),
        ({"value": "many"}, "malformed row"),
        ({"value": "0"}, "malformed row"),
        ({"value": "nan"}, "malformed row"),
        ({"unit": "pages"}, "malformed row"),
        ({"tp": "3"}, "not legal"),
        ({"quantity": "process_total_gib"}, "quantity not predicted"),
        ({"quantity": "kv_gib_per_gpu", "device": "some GPU"}, "unknown device"),
        ({"quantity": "kv_gib_per_gpu", "gpu_memory_utilization": ""}, "setting not stated"),
        ({"quantity": "kv_gib_per_gpu"}, "no overheads"),
        (
            {
                "quantity": "kv_blocks",
                "unit": "blocks",
                "model": "openai/gpt-oss-20b",
                "checkpoint_dtype": "MXFP4",
            },
            "hybrid cache",
        ),
    ],
)
def test_every_row_without_a_prediction_has_a_reason(
    tmp_path: Path, row: dict[str, str], reason: str
) -> None:
    report = table(tmp_path, row)
    assert reason in reasons(report)
    assert set(reasons(report)) <= set(REASONS)
    assert sum(g.n_rows for g in report.groups if g.mode == "predicted") == 1


@pytest.mark.parametrize(
    "row",
    [
        {"max_model_len": "9" * 5000},
        {"tp": "9" * 5000},
        {"block_size": "9" * 30},
        {"max_num_batched_tokens": "9" * 25},
        {"notes": "max_total_tokens = " + "9" * 5000},
        {"device": "H100 (" + "9" * 400 + " GiB)"},
        {"engine_version": "v" + "9" * 5000 + ".1"},
        {"value": "1e999"},
        {"value": "-3"},
        {"tp": "-1"},
    ],
)
def test_numbers_beyond_reason_are_malformed(tmp_path: Path, row: dict[str, str]) -> None:
    assert set(reasons(table(tmp_path, row))) == {"malformed row"}


def test_a_table_names_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in a table is a name; a configuration of that path is not opened."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "config.json").write_text("{}", encoding="utf-8")
    for name in ("./org", "org/config.json", str(tmp_path / "org")):
        assert model_name(name) is None
    assert reasons(table(tmp_path, {"model": "./org"})) == {"unknown model": 1}


def test_low_confidence_is_predicted_and_kept_apart(tmp_path: Path) -> None:
    report = table(tmp_path, {}, {"confidence": "medium", "value": "30"})
    regimes = {g.regime: g for g in report.groups}
    assert set(regimes) == {"headline", "excluded: confidence"}
    assert regimes["excluded: confidence"].n == 1
    assert [o.measured for o in worst(report.outcomes)] == [14.99 * GIB]


def test_a_device_without_a_profile_uses_the_printed_total(tmp_path: Path) -> None:
    report = table(
        tmp_path,
        {"quantity": "kv_gib_per_gpu", "value": "58.11", "device": "Some accelerator (79.19 GiB)"},
        {"quantity": "kv_gib_per_gpu", "value": "58.11"},
    )
    done = [o.predicted for o in report.outcomes if o.mode == "predicted"]
    assert done[0] == done[1]


def test_llama_cpp_windows_and_types(tmp_path: Path) -> None:
    base = {
        "engine": "llama.cpp",
        "model": "gpt-oss-120b (MXFP4 GGUF)",
        "unit": "MiB",
        "checkpoint_dtype": "GGUF MXFP4",
        "kv_dtype": "f16",
        "quantity": "kv_gib_total",
        "max_model_len": "131072 x 2 seqs",
        "max_num_batched_tokens": "1024",
    }
    report = table(
        tmp_path,
        {**base, "value": "9216.0", "raw_line": "size = 9216.00 MiB"},
        {**base, "value": "90.0", "raw_line": "KV buffer size = 90.00 MiB (SWA, 1280 cells)"},
        {
            **base,
            "model": "DeepSeek-R1.gguf",
            "engine": "ik_llama.cpp",
            "kv_dtype": "q8_0",
            "max_model_len": "16384",
            "value": "583.31",
            "notes": "mla 3",
        },
        {
            **base,
            "model": "Qwen3-235B-A22B.gguf",
            "kv_dtype": "K q8_0 / V f16",
            "value": "9212.0",
            "max_model_len": "65536",
        },
    )
    assert [abs(o.error_percent) < 0.001 for o in report.outcomes if o.mode == "predicted"] == [
        True
    ] * 4


def test_the_json_has_the_published_keys(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no table", encoding="utf-8")
    report = table(tmp_path, {}, {"model": "someone/unheard-of"})
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(data) == {"groups", "kinds", "uncovered"}
    keys = {
        "table",
        "metric",
        "device",
        "software",
        "model",
        "format",
        "regime",
        "n",
        "n_rows",
        "mape",
        "median_ape",
        "p90_ape",
        "bias",
        "coverage80",
        "engine",
        "quantity",
        "mode",
    }
    assert all(set(g) == keys for g in data["groups"])
    assert data["uncovered"] == [{"table": "some_logs", "reason": "unknown model", "n": 1}]


def test_unknown_files_are_one_entry_each(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no table", encoding="utf-8")
    (tmp_path / "README.md").write_text("words", encoding="utf-8")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    (tmp_path / "bytes.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    report = validate(tmp_path)
    assert {(u.table, u.reason, u.n) for u in report.uncovered} == {
        ("notes", "unknown file", 1),
        ("other", "unknown file", 2),
        ("bytes", "unreadable file", 1),
        ("empty", "unknown file", 1),
    }
    assert report.groups == ()


def test_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    folder, outside = tmp_path / "data", tmp_path / "outside.csv"
    folder.mkdir()
    outside.write_text("a,b\n1,2\n", encoding="utf-8")
    (folder / "linked.csv").symlink_to(outside)
    assert reasons(validate(folder)) == {"unreadable file": 1}


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        validate(tmp_path / "nowhere")
    with pytest.raises(UnknownNameError):
        validate(tmp_path, only="everything")


def test_names() -> None:
    assert device_name("H100 80GB").id == "h100-sxm"
    assert device_name("H100 PCIe 80GB").id == "h100-pcie"
    assert device_name("A100-SXM4-40GB").total_bytes == int(39.5 * GIB)
    assert not device_name("A100 80GB SXM").large
    assert device_name("RTX 9999 (12.5 GiB)").total_bytes == int(12.5 * GIB)
    assert device_name("a toaster").total_bytes == 0
    for text, id in [
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("Qwen3-235B-A22B-mix-IQ3_K-00001-of-00003.gguf", "qwen3-235b-a22b"),
        ("Qwen/Qwen3-14B", "qwen3-14b"),
        ("zai-org/GLM-5-FP8", "glm-5-fp8"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "deepseek-r1-distill-qwen-14b"),
    ]:
        found = model_name(text)
        assert found is not None
        assert found.spec.id == id
    assert model_name("deepseek-ai/DeepSeek-R1-Distill-Something-3B") is None
    assert format_name("AWQ int4 (awq_marlin)") is not None
    for version, wanted in [
        ("0.8.3rc2.dev224 (V0)", "0.8.3-v0"),
        (">=0.21 (V1)", "0.21"),
        ("~0.9.2-0.10 (V1)", "0.9.2"),
        ("0.7.x (V0)", "0.7-v0"),
    ]:
        engine = engine_name("vllm", version)
        assert engine is not None
        assert engine.engine.version_text == wanted
    dated = engine_name("sglang", "Feb 2026")
    assert dated is not None
    assert not dated.engine.stated
    assert unit_bytes("GB (printed; is GiB)", "vllm") == 2**30
    assert (unit_bytes("GB", "tensorrt-llm"), unit_bytes("GB", "llama.cpp")) == (2**30, 10**9)


def test_people_see_groups_without_versions(tmp_path: Path) -> None:
    report = table(tmp_path, {}, {"engine_version": "0.18.0 (V1)"}, {"value": "15.5"})
    assert [g.n for g in summary(report.outcomes)] == [3]
    figures, kinds, groups, rows, left = people(report)
    assert figures == []
    assert kinds == []
    assert len(groups) == 1
    assert rows[0]["row"] == 3
    assert left == []
