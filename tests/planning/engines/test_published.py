"""Public quantised releases: the bundled table holds, and a user's file is read strictly."""

from pathlib import Path

import pytest

from planner.base.errors import DataError, InputError
from planner.lookup import load_model
from planner.models.catalog import model_ids
from planner.planning.engines.published import (
    CHECKPOINTS_VARIABLE,
    COLUMNS,
    published_weights,
    read_published,
)
from planner.planning.engines.rules import DATA

BUNDLED = read_published(DATA / "checkpoints.csv")
ROW = {
    "model": "qwen3-8b",
    "repository": "me/mine",
    "container": "fp8",
    "attention": "fp8-block",
    "dense": "fp8-block",
    "source": "my disk",
    "seen": "2026-11-26",
}


def table(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_bundled_release_is_of_a_bundled_model_and_says_where_it_was_seen() -> None:
    assert {row.model for row in BUNDLED} <= set(model_ids())
    assert all("." in row.source and row.seen.startswith("2026-") for row in BUNDLED)
    assert len({(row.model, row.repository) for row in BUNDLED}) == len(BUNDLED) >= 70


def test_releases_with_experts_state_them_and_others_do_not() -> None:
    for row in BUNDLED:
        assert bool(row.experts) == (load_model(row.model).experts is not None), row.repository


def test_scheme_of_follows_group_plain_and_mix() -> None:
    by_name = {row.repository: row for row in BUNDLED}
    nvfp4 = by_name["nvidia/DeepSeek-V3.1-NVFP4"]
    assert nvfp4.group("mla-q") == "bf16"
    assert nvfp4.group("experts-down") == "nvfp4"
    assert by_name["nvidia/GLM-5-NVFP4"].group("attention-out") == "bf16"
    mix = by_name["bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M"]
    spec = load_model("llama-3.1-8b")
    assert mix.schemes_of("mlp-down", 0, spec) == {"ggml-q6_k"}
    assert mix.schemes_of("mlp-down", 5, spec) == {"ggml-q4_k"}
    assert mix.schemes_of("attention-qkv.v", 0, spec) == {"ggml-q6_k"}
    assert mix.schemes_of("attention-qkv", 0, spec) == {"ggml-q4_k", "ggml-q6_k"}
    assert mix.schemes_of("mlp-gate-up", 0, spec) == {"ggml-q4_k"}
    assert mix.publisher == "bartowski"


def test_a_users_file_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(table(tmp_path / "own.csv", ROW)))
    found = published_weights("qwen3-8b")
    assert found[0].repository == "me/mine"
    assert len(found) > 1
    assert next(row.repository for row in published_weights("qwen3-32b")) == "Qwen/Qwen3-32B-FP8"


def test_columns_that_may_be_empty_may_be_absent(tmp_path: Path) -> None:
    path = table(tmp_path / "own.csv", ROW, columns=tuple(ROW))
    assert read_published(path)[0].group("mlp-down") == "fp8-block"


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"dense": "fp8-blok"}, "line 2: dense 'fp8-blok'", "fp8-block"),
        ({"kv": "fp9"}, "kv 'fp9'", "fp8"),
        ({"plain": "attention"}, "plain 'attention'", "attention"),
        ({"also": "heads"}, "also 'heads'", "head"),
        ({"source": ""}, "source is empty", "source"),
        ({"repository": ""}, "repository is empty", "repository"),
    ],
)
def test_a_bad_value_is_an_error_with_its_line(
    tmp_path: Path, change: dict[str, str], words: str, hint: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_published(table(tmp_path / "own.csv", ROW | change))
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_bad_columns_and_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown column 'scheme'"):
        read_published(table(tmp_path / "a.csv", columns=(*COLUMNS, "scheme")))
    with pytest.raises(DataError, match="column 'container' is missing"):
        read_published(table(tmp_path / "b.csv", columns=("model", "repository")))
    short = tmp_path / "c.csv"
    short.write_text(",".join(COLUMNS) + "\nqwen3-8b,me/mine\n", encoding="utf-8")
    with pytest.raises(DataError, match="not as many values as columns"):
        read_published(short)
    (tmp_path / "d.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_published(tmp_path / "d.csv")
    with pytest.raises(InputError, match="No such file"):
        read_published(tmp_path / "none.csv")
