"""Published GGUF files: of bundled models, in the order of preference, read by their names."""

import pytest

from benchmarks.releases import gguf_rows, not_listed, public_source
from planner.lookup import load_model
from planner.models.catalog import model_ids
from planner.models.inventory import Inventory
from planner.planning.engines.gguf_files import PublishedGguf, gguf_files_of, published_file
from planner.planning.engines.mixes import engine_mixes
from planner.planning.engines.published import published_weights

PUBLISHERS = {"unsloth", "bartowski", "lmstudio-community", "ggml-org"}
FILES = [file for model in model_ids() for file in gguf_files_of(model)]


def listed(**values: str) -> dict[str, str]:
    """A row of a list of files, of Qwen3-14B by unsloth unless told otherwise."""
    return {
        "project_model": "qwen3-14b",
        "base_model": "Qwen/Qwen3-14B",
        "repo": "unsloth/Qwen3-14B-GGUF",
        "quant": "Q4_K_M",
        "file": "",
        "size_bytes": "",
        "source": "github a/b c.json ; also github d/e f.md",
        "name_how": "verbatim",
    } | values


def test_every_file_is_by_a_known_publisher_and_has_a_source() -> None:
    assert len(FILES) >= 900
    assert len({(f.model, f.repository, f.quant) for f in FILES}) == len(FILES)
    for file in FILES:
        maker = load_model(file.model).public_name.partition("/")[0]
        assert file.repository.partition("/")[0] in PUBLISHERS | {maker}
        assert "." in file.source
        assert file.seen.startswith("2026-")
        assert " " not in file.place


def test_exact_sizes_are_of_models_of_that_size() -> None:
    sized = [file for file in FILES if file.size_bytes]
    assert len(sized) >= 20
    for file in sized:
        assert 0.1 < file.size_bytes / Inventory(load_model(file.model)).parameters_total < 2.2, (
            file.place
        )


@pytest.mark.parametrize(
    ("model", "quant", "repository"),
    [
        # ggml.org and the maker, then unsloth, bartowski and LM Studio.
        ("qwen3-14b", "Q4_K_M", "unsloth/Qwen3-14B-GGUF"),
        ("qwen2.5-7b", "q8_0", "Qwen/Qwen2.5-7B-Instruct-GGUF"),
        ("gemma-3-12b", "Q4_0", "ggml-org/gemma-3-12b-it-qat-GGUF"),
        # The model itself goes before its other variants.
        ("qwen3-30b-a3b-2507", "Q6_K", "unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF"),
        ("llama-3.1-70b", "Q4_K_M", "bartowski/Meta-Llama-3.1-70B-Instruct-GGUF"),
    ],
)
def test_the_preferred_file_of_a_mixture(model: str, quant: str, repository: str) -> None:
    file = published_file(model, quant)
    assert file is not None
    assert file.repository == repository


def test_what_nobody_publishes_has_no_file() -> None:
    assert published_file("qwen3-14b", "Q1_0") is None
    assert gguf_files_of("no-such-model") == ()


def test_a_file_in_a_mixture_of_llama_cpp_is_a_release() -> None:
    """Dynamic mixtures of a publisher's own are none of llama.cpp's, and are no plan's."""
    rows = {row.repository: row for row in published_weights("qwen3-14b")}
    assert rows["unsloth/Qwen3-14B-GGUF:Q4_K_M"].dense == "Q4_K_M"
    assert rows["unsloth/Qwen3-14B-GGUF:Q4_K_M"].container == ("gguf",)
    dynamic = {file.place for file in gguf_files_of("qwen3-14b") if file.quant.startswith("UD-")}
    assert dynamic
    assert not dynamic & rows.keys()
    ours = [row for row in published_weights("llama-3.1-8b") if row.dense == "Q8_0"]
    assert [row.publisher for row in ours] == ["bartowski"]
    assert {row.dense for row in rows.values() if row.container == ("gguf",)} <= set(engine_mixes())


def test_a_place_is_what_llama_cpp_takes() -> None:
    file = PublishedGguf("m", "o/m", "p/m-GGUF", "Q8_0", "", 0, "a.b", "2026-11-30")
    assert file.place == "p/m-GGUF:Q8_0"


def test_only_files_seen_by_their_full_names_are_taken() -> None:
    rows = [
        listed(),
        listed(quant="MLX 4bit"),
        listed(name_how="template with a value that the same record lists"),
        listed(project_model=""),
        listed(repo="mradermacher/Qwen3-14B-GGUF"),
        listed(repo="Qwen/Qwen3-14B-GGUF", size_bytes="9"),
        listed(repo="bartowski/Qwen_Qwen3-14B-GGUF"),
        listed(repo="ggml-org/Qwen3-14B-Coder-GGUF", base_model="Qwen/Qwen3-14B-Coder"),
    ]
    taken = gguf_rows(rows)
    assert [row["repository"] for row in taken] == [
        "Qwen/Qwen3-14B-GGUF",
        "unsloth/Qwen3-14B-GGUF",
        "bartowski/Qwen_Qwen3-14B-GGUF",
        "ggml-org/Qwen3-14B-Coder-GGUF",
    ]
    assert taken[0]["size_bytes"] == "9"
    assert taken[0]["source"] == "github.com/a/b c.json"
    assert gguf_rows(rows[::-1]) == taken


def test_a_release_outside_the_list_is_named() -> None:
    assert not_listed(["a/b", "c/d"], [{"release_repo": "a/b"}]) == ["c/d"]
    assert public_source("https://h.co/x ; name: github a/b c") == "h.co/x; github.com/a/b c"
    assert public_source("a number ; also github a/b c") == "github.com/a/b c"
    assert public_source("a number") == ""
