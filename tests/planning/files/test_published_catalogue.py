"""The catalogue of published files: names with sources, sizes stated and counted."""

import csv
from collections import Counter
from statistics import median

import pytest

import planner
from benchmarks.releases import of_that_size
from planner import published_files
from planner.base.errors import UnknownNameError
from planner.base.units import GIB
from planner.lookup import load_model
from planner.planning.engines.repositories import repository_named
from planner.planning.engines.rules import DATA
from planner.planning.files.catalogue import (
    COMPUTED,
    ROUNDED,
    STATED,
    PublishedFile,
    _size,
    files_of,
    known_models,
)
from planner.planning.files.sizes import gguf_bytes, header_bytes, mlx_bytes
from planner.report.render.plan_text import plan_text

# Converters add tensors of their own, or publishers keep some in more bits than the mixture.
GGUF_OFF = frozenset(
    ("gemma-3n-e2b", "gemma-3n-e4b", "gemma-4-26b-a4b", "qwen3.5-27b", "qwen3.5-35b-a3b")
)


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_sixty_models_and_each_row_names_its_source() -> None:
    assert len(known_models()) >= 140
    repositories = rows("published_repositories.csv")
    assert len({row["model"] for row in repositories}) >= 100
    assert len({row["repository"] for row in repositories}) == len(repositories)
    for row in repositories:
        assert row["source"].startswith("github.com/")
        assert row["seen"].startswith("2026-")
        assert row["files"]
        assert " " not in row["repository"]
        if row["model"]:
            load_model(row["model"])


@pytest.mark.parametrize("table", ["published_repositories.csv", "gguf_files.csv"])
def test_no_repository_is_of_another_size_than_its_model(table: str) -> None:
    assert of_that_size("google/gemma-3n-E4B-it", "ggml-org/gemma-3n-E4B-it-GGUF")
    assert not of_that_size("google/gemma-3n-E4B-it", "ggml-org/gemma-3n-E2B-it-GGUF")
    wrong = [r["repository"] for r in rows(table) if not of_that_size(r["of"], r["repository"])]
    assert wrong == []


def test_sizes_that_are_stated_to_the_byte_are_of_repositories_of_the_catalogue() -> None:
    known = {row["repository"].lower() for row in rows("published_repositories.csv")}
    exact = rows("published_bytes.csv")
    assert len(exact) >= 100
    assert {row["repository"].lower() for row in exact} <= known


def test_files_say_how_their_size_is_known() -> None:
    files = {file.place: file for file in published_files("qwen3-30b-a3b-2507")}
    exact = files["unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF:Q4_K_M"]
    assert (exact.bytes, exact.basis) == (18_556_686_752, STATED)
    counted = files["unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF:Q5_K_M"]
    assert counted.basis == COMPUTED
    dynamic = files["unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF:UD-Q4_K_XL"]
    assert dynamic.basis == ROUNDED
    assert dynamic.bytes is not None
    assert 17e9 < dynamic.bytes < 19e9


def test_any_name_of_a_model_and_a_model_that_is_not_bundled() -> None:
    by_name = published_files("Qwen/Qwen3-8B")
    assert by_name == published_files("qwen3-8b")
    others = published_files("Qwen/Qwen3.5-9B")
    assert {file.model for file in others} == {""}
    assert any(file.place == "unsloth/Qwen3.5-9B-GGUF:UD-Q4_K_XL" for file in others)
    with pytest.raises(UnknownNameError):
        published_files("no-such-model")


def test_what_fetches_a_file() -> None:
    files = {file.place: file for file in published_files("qwen3-8b")}
    assert files["unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL"].commands == {
        "llama.cpp": "llama-server -hf unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL",
        "ollama": "ollama run hf.co/unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL",
        "LM Studio": "lms get https://huggingface.co/unsloth/Qwen3-8B-GGUF@ud-q4_k_xl",
    }
    mlx = files["mlx-community/Qwen3-8B-4bit"]
    assert mlx.commands["mlx"] == "mlx_lm.generate --model mlx-community/Qwen3-8B-4bit"
    assert files["Qwen/Qwen3-8B-FP8"].commands == {}


def counted_over_stated() -> dict[str, tuple[str, float]]:
    """Place → (model, counted bytes over those stated), of files from which no header was taken."""
    used = {row["file"].lower() for row in rows("gguf_headers.csv")}
    out = {}
    for row in rows("published_bytes.csv"):
        place = f"{row['repository']}:{row['quant']}"
        model = of_repository(row["repository"])
        counted = gguf_bytes(load_model(model), row["quant"]) if model else None
        if counted is not None and place.lower() not in used:
            out[place] = model, counted / int(row["bytes"])
    return out


def test_counted_gguf_sizes_are_the_stated_ones() -> None:
    """To a header's bytes; files of other converters are named, and are off."""
    found = counted_over_stated()
    near = {place: share for place, (model, share) in found.items() if model not in GGUF_OFF}
    assert near == pytest.approx(dict.fromkeys(near, 1.0), rel=1e-4)
    assert len(near) >= 10
    off: dict[str, float] = {}
    for model, share in found.values():
        if model in GGUF_OFF:
            off[model] = max(abs(share - 1.0), off.get(model, 0.0))
    assert set(off) == GGUF_OFF
    assert all(0.005 < largest < 0.125 for largest in off.values())


def of_repository(repository: str) -> str:
    return next(
        (
            row["model"]
            for row in rows("published_repositories.csv")
            if row["repository"].lower() == repository.lower() and row["container"] == "gguf"
        ),
        "",
    )


def test_most_mixtures_of_large_files_are_counted_to_what_the_source_states() -> None:
    """Of files of 10 GiB and more 0.05 GiB is half a percent."""
    verdicts: Counter[bool] = Counter()
    for model in ("qwen3-14b", "qwen3-32b", "llama-3.1-70b", "mistral-small-24b", "qwen2.5-32b"):
        spec = load_model(model)
        for file in files_of(model, spec):
            counted = gguf_bytes(spec, file.quant) if file.container == "gguf" else None
            if counted is not None and file.bytes and file.bytes >= 10 * GIB:
                verdicts[file.basis in (COMPUTED, STATED)] += 1
    assert verdicts[True] >= 0.9 * verdicts.total()
    assert verdicts.total() >= 50


def test_large_names_put_the_head_and_the_table_in_eight_bits() -> None:
    spec = load_model("llama-3.1-70b")
    plain, large = gguf_bytes(spec, "Q4_K_M"), gguf_bytes(spec, "Q4_K_L")
    assert plain is not None
    assert large is not None
    table = spec.vocab_size * spec.hidden_size
    # The head was in q6_k, the table in q4_k: 210 and 144 bytes for 256.
    assert large - plain == table * (34 / 32 - 210 / 256) + table * (34 / 32 - 144 / 256)


def test_a_plain_file_is_the_parameters_and_the_header() -> None:
    spec = load_model("qwen3-0.6b")
    size = gguf_bytes(spec, "BF16")
    assert size is not None
    vectors = sum(row.elements * row.copies for row in spec.rows if len(row.shape) == 1)
    matrices = sum(
        row.elements * row.copies
        for row in spec.rows
        if len(row.shape) == 2 and row.copy_of is None
    )
    assert size == 2 * matrices + 4 * vectors + header_bytes(spec)


def test_mlx_counts_a_scale_and_a_bias_a_group() -> None:
    spec = load_model("qwen3-8b")
    four, eight, coarse = mlx_bytes(spec, "4bit"), mlx_bytes(spec, "8bit"), mlx_bytes(spec, "bf16")
    assert four is not None
    assert eight is not None
    assert coarse is not None
    assert (eight - four) / (coarse - eight) == pytest.approx(0.5 / (2 - 1 - 4 / 64), rel=1e-3)
    assert mlx_bytes(spec, "OptiQ-4bit") is None
    assert gguf_bytes(spec, "UD-Q4_K_XL") is None


def test_mlx_leaves_rows_plain_that_are_no_whole_groups() -> None:
    """Of 4,096 and 12,288 columns the latter alone are whole groups of 96."""
    spec = load_model("qwen3-8b")
    matrices = [row for row in spec.rows if len(row.shape) == 2 and row.copy_of is None]
    grouped = sum(row.elements * row.copies for row in matrices if row.shape[1] == 12288)
    assert {row.shape[1] for row in matrices} == {4096, 12288}
    every, plain = mlx_bytes(spec, "4bit", group=96), mlx_bytes(spec, "bf16")
    assert every is not None
    assert plain is not None
    assert plain - every == grouped * (16 - 4 - 32 / 96) / 8


def test_mlx_keeps_the_vision_tower_plain() -> None:
    spec = load_model("gemma-3-27b")
    tower = sum(r.elements * r.copies for r in spec.rows if r.part == "vision" and not r.copy_of)
    text = sum(
        r.elements * r.copies for r in spec.rows if r.part in ("main", "lookup") and not r.copy_of
    )
    assert tower > 0
    assert mlx_bytes(spec, "bf16") == 2 * (tower + text)


def test_a_plain_file_keeps_routers_in_32_bits() -> None:
    spec = load_model("qwen3-30b-a3b-2507")
    rows_here = [row for row in spec.rows if row.copy_of is None]
    every = sum(row.elements * row.copies for row in rows_here)
    wide = sum(
        row.elements * row.copies
        for row in rows_here
        if len(row.shape) == 1 or row.kind == "router"
    )
    assert gguf_bytes(spec, "BF16") == 2 * every + 2 * wide + header_bytes(spec)


def test_a_header_is_that_of_a_file_with_the_vocabulary_or_the_median_of_all_by_the_token() -> None:
    known = {int(row["vocabulary"]): int(row["bytes"]) for row in rows("gguf_headers.csv")}
    spec = load_model("qwen3-8b")
    assert header_bytes(spec) == known[spec.vocab_size]
    other = load_model("deepseek-v3")
    assert other.vocab_size not in known
    each = median(size / tokens for tokens, size in known.items())
    assert header_bytes(other) == other.vocab_size * round(each)


@pytest.mark.parametrize(
    ("off_gib", "basis"), [(0.0, COMPUTED), (0.055, COMPUTED), (0.065, ROUNDED), (0.5, ROUNDED)]
)
def test_a_counted_size_is_taken_where_the_stated_one_is_the_same(
    off_gib: float, basis: str
) -> None:
    """To 0.06 GiB, as it is stated to 0.1; of large files to half a percent."""
    row = repository_named("unsloth/Qwen3-8B-GGUF")
    assert row is not None
    spec = load_model("qwen3-8b")
    counted = gguf_bytes(spec, "Q4_K_M")
    assert counted is not None
    for stated in (counted / GIB + off_gib, counted / GIB - off_gib):
        size = counted if basis == COMPUTED else round(stated * GIB)
        assert _size(row, "Q4_K_M", stated, spec) == (size, basis)
    large = load_model("llama-3.1-70b")
    counted = gguf_bytes(large, "Q8_0")
    assert counted is not None
    for by, known in ((1.0045, COMPUTED), (0.9955, COMPUTED), (1.006, ROUNDED)):
        assert _size(row, "Q8_0", by * counted / GIB, large)[1] == known
    assert _size(row, "Q4_K_M", 0.0, spec) == (gguf_bytes(spec, "Q4_K_M"), COMPUTED)
    assert _size(row, "UD-Q4_K_XL", 0.0, spec) == (None, "")


def test_json_of_a_file() -> None:
    file = PublishedFile("", "o/m", "p/m-GGUF", "gguf", "Q8_0", None, "", 0, "a.b", "2026-08-22")
    data = file.to_dict()
    assert data["bytes"] is None
    assert data["commands"]["llama.cpp"] == "llama-server -hf p/m-GGUF:Q8_0"


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("llama-3.3-70b", "Llama-3.3-70B"),
        ("Qwen/Qwen3.6-27B", "Qwen3.6-27B"),
        ("Qwen2.5-Coder-7B-Instruct", "Coder-7B-Instruct"),
    ],
)
def test_a_checkpoint_of_the_same_structure_has_its_own_files(name: str, repository: str) -> None:
    """Never the weights of the model that its sizes are those of."""
    counted = [file for file in published_files(name) if file.downloads]
    assert counted
    assert all(repository in file.repository for file in counted)
    plan = planner.plan(name, "apple-m4-max", engine="llama.cpp")
    assert plan.recommendation is not None
    assert repository in plan.recommendation.checkpoint


def test_the_first_answer_names_the_file_and_what_else_fetches_it() -> None:
    plan = planner.plan("qwen3-8b", "apple-m4-max", engine="llama.cpp")
    text = plan_text(plan)
    assert plan.recommendation is not None
    place = plan.recommendation.checkpoint
    assert f"llama-server -hf {place}" in text
    assert f"ollama run hf.co/{place}" in " ".join(text.split())
    assert "GiB to download" in text


def test_layers_of_several_shapes_are_counted_each_with_its_own() -> None:
    spec = load_model("nemotron-super-49b")
    files = {file.place: file for file in files_of("nemotron-super-49b", spec)}
    for quant in ("BF16", "Q4_K_M", "Q6_K"):
        assert files[f"unsloth/Llama-3_3-Nemotron-Super-49B-v1-GGUF:{quant}"].basis == COMPUTED


def test_files_of_some_converters_have_the_prediction_layers() -> None:
    spec = load_model("glm-4.5")
    without, with_them = (gguf_bytes(spec, "BF16", predicts=flag) for flag in (False, True))
    assert without is not None
    assert with_them is not None
    predicted = sum(r.elements * r.copies for r in spec.rows if r.part == "mtp" and not r.copy_of)
    assert 2 * predicted <= with_them - without <= 4 * predicted
    files = {file.place: file for file in files_of("glm-4.5", spec)}
    assert files["unsloth/GLM-4.5-GGUF:BF16"].basis == COMPUTED


@pytest.mark.parametrize(
    ("name", "repository"),
    [("qwen3-8b", "/Qwen3-8B-"), ("llama-3.3-70b", "/Llama-3.3-70B-Instruct-")],
)
def test_mlx_serves_the_files_of_its_format(name: str, repository: str) -> None:
    plan = planner.plan(name, "apple-m4-max", engine="mlx")
    assert plan.recommendation is not None
    assert repository in plan.recommendation.checkpoint
    assert not plan.recommendation.needs_new_weights
    (scheme,) = {unit.scheme for unit in plan.units if unit.kind == "mlp-down"}
    assert scheme in ("mlx-8bit-g64", "mlx-6bit-g64")
