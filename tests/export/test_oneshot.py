"""The script that makes weights: data where llm-compressor needs them, and never its data-free
pipeline, which leaves calibrated scales as they were allocated."""

import ast
import json
import re
from collections.abc import Callable

import pytest
from support.exports import assignment

from planner.export import compressed_tensors, fp8
from planner.export.assignment import ModuleAssignment
from planner.export.targets import Exported
from planner.models.catalog import bundled_model


@pytest.mark.parametrize(
    ("scheme", "kv", "calibrated", "free"),
    [
        ("fp8-channel", "bf16", False, False),
        ("int4-w4a16", "bf16", False, False),
        ("fp8-channel", "fp8", True, True),
        ("nvfp4", "bf16", True, False),
        ("nvfp4", "fp8", True, False),
        ("mxfp4", "bf16", False, False),
        ("int8-w8a8", "int8-token", False, False),
    ],
)
def test_data_are_asked_for_where_scales_are_stored(
    scheme: str, kv: str, calibrated: bool, free: bool
) -> None:
    found = compressed_tensors.export(
        assignment(bundled_model("llama-3.2-1b"), {}, rest=scheme, kv=kv)
    )
    script = found.files["quantise.py"]
    ast.parse(script)
    assert ("num_calibration_samples=512" in script) == calibrated
    assert ("max_seq_length=2048" in script) == calibrated
    assert ('"data-free"' in script) == free
    assert "datafree" not in script
    steps = " ".join(found.steps)
    assert ("TEXTS.json" in steps) == calibrated
    assert ("no scales of the cache" in steps) == free


@pytest.mark.parametrize(
    ("export", "scheme"),
    [
        (fp8.export, "fp8-block"),
        (fp8.export, "fp8-block-ue8m0"),
        (fp8.export_integers, "int8-block"),
    ],
)
def test_blocks_have_a_script_and_the_list_of_what_it_quantises(
    export: Callable[[ModuleAssignment], Exported], scheme: str
) -> None:
    one = assignment(bundled_model("llama-3.2-1b"), {}, rest=scheme)
    found = export(one)
    ast.parse(found.files["quantise.py"])
    named = json.loads(found.files["modules.json"])
    for linear in one.linears:
        for name in linear.names():
            hit = any(
                name == text or (text.startswith("re:") and re.match(text[3:], name))
                for text in named
            )
            assert hit == (linear.scheme == scheme), name
    assert any("quantise.py" in step for step in found.steps)
