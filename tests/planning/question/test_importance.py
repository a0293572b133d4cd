"""What an importance matrix opens, and what is said without one."""

import numpy as np
import pytest

from planner.base.errors import UnsupportedError
from planner.export.llama_cpp import _quoted
from planner.models.catalog import resolve_model
from planner.models.imatrix import ImportanceMatrix
from planner.planning.question.importance import (
    KEY,
    importance_note,
    require_importance,
    without_importance,
)

SPEC = resolve_model("qwen3-30b-a3b")
NAMES = ("ggml-q4_k", "ggml-iq3_s", "ggml-iq2_xs")


def test_types_that_need_a_matrix_are_left_out_without_one():
    assert list(without_importance(SPEC, NAMES, False)) == ["ggml-iq2_xs"]
    assert without_importance(SPEC, NAMES, True) == {}
    with pytest.raises(UnsupportedError, match="importance matrix only") as error:
        require_importance(SPEC, NAMES, False)
    assert "--imatrix" in error.value.hint


def test_the_note_names_the_file_and_counts_what_has_no_entry():
    entries = {"blk.0.attn_q.weight": np.ones(2048, "f4")}
    found = importance_note(SPEC, None, None, ImportanceMatrix("/x/m.gguf", "ab" * 32, entries, 3))
    assert found[0][:2] == (KEY, "/x/m.gguf")
    assert found[0].reason.startswith("1 entries, ")
    assert importance_note(SPEC, None, None, None) == ()


def test_a_path_is_quoted_for_the_script():
    assert _quoted('a b"$}`') == 'a b\\"\\$\\}\\`'
