"""A GGUF file's heads and tables are units in their own types, which exports take and read back."""

from pathlib import Path

import pytest
from support.small_gguf import small_gguf

import planner


@pytest.mark.parametrize("table", ["Q8_0", "BF16"])
def test_a_table_in_blocks_is_named_by_its_type_and_exported(tmp_path: Path, table: str) -> None:
    file = tmp_path / "small.gguf"
    file.write_bytes(small_gguf(lambda name: table if "token_embd" in name else "Q8_0"))
    plan = planner.estimate(str(file), "rtx-4090", engine="llama.cpp", context=512)
    unit = next(unit for unit in plan.units if unit.kind == "embedding")
    assert unit.scheme == {"Q8_0": "ggml-q8_0", "BF16": "bf16"}[table]
    again = planner.read_plan(plan.to_dict())
    export = planner.export_plan(again, model=str(file), device="rtx-4090")
    assert "serve-llama.cpp.sh" in export.files
