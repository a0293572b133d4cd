"""What can be written: a plan that an engine serves needs a checkpoint to give it."""

from itertools import product

import pytest

from planner.base.errors import UnsupportedError
from planner.export import compressed_tensors, fp8, gptq, llama_cpp, modelopt, torchao
from planner.export.assignment import from_schemes
from planner.export.read_back import unquantised
from planner.formats.schemes import SCHEMES
from planner.models.catalog import bundled_model, model_ids
from planner.models.gguf_names import ARCHITECTURES
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units
from planner.placement.modules import EXPERT_KINDS, PLANNED_KINDS
from planner.planning.engines.rules import PLAIN
from planner.planning.engines.writers import writers, writing_refusal

EXPORTERS = {
    "compressed-tensors": compressed_tensors.export,
    "modelopt": modelopt.export,
    "modelopt-mixed": modelopt.export,
    "fp8": fp8.export,
    "blockwise-int8": fp8.export_integers,
    "gptq": gptq.export,
    "torchao": torchao.export,
    "gguf": llama_cpp.export,
}
FAMILIES = {bundled_model(name).model_type: name for name in reversed(model_ids())}
"""One bundled model of every family."""


def written(spec: ModelSpec, kind: str, scheme: str, container: str) -> bool:
    """Whether the exporter of a format writes ``kind`` in ``scheme`` and all else plain."""
    keys = {
        (row.kind, layer)
        for row in spec.rows
        if row.part == "main" and row.kind in PLANNED_KINDS and row.quantisable
        for layer in row.layers
    }
    schemes = {key: scheme if key[0] == kind else "bf16" for key in keys}
    caches = {(unit.kind, layer): "bf16" for unit in cache_units(spec) for layer in unit.layers}
    try:
        EXPORTERS[container](from_schemes(spec, schemes, caches))
    except UnsupportedError:
        return False
    return True


@pytest.mark.sample(2)
@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_the_data_say_what_the_exporters_do(model: str) -> None:
    spec = unquantised(bundled_model(model))
    kinds = {
        row.kind
        for row in spec.rows
        if row.part == "main" and row.quantisable and row.kind in PLANNED_KINDS
    }
    # One dense kind and the experts: what an exporter says depends on names and stacks.
    some = [*sorted(kinds - set(EXPERT_KINDS))[:1], *sorted(kinds & set(EXPERT_KINDS))[:1]]
    for kind, container, scheme in product(some, EXPORTERS, SCHEMES):
        if scheme in PLAIN:
            continue
        found = writing_refusal(spec, kind, scheme, container, writers()[container].readers[0])
        # MIXED_PRECISION is what ModelOpt's exporter writes for several schemes alone.
        able = writers()[container].schemes
        kept = container == "gguf" and (
            scheme == "mxfp4-w4a16" or spec.model_type not in ARCHITECTURES
        )
        if kept or (container == "modelopt-mixed" and scheme not in able):
            assert found
        else:
            assert (found == "") == written(spec, kind, scheme, container), (
                kind,
                container,
                scheme,
                found,
            )


def test_the_release_needs_no_writer() -> None:
    spec = bundled_model("gpt-oss-20b")
    for container, engine in (("mxfp4", "vllm"), ("gguf", "llama.cpp")):
        assert writing_refusal(spec, "experts-down", "mxfp4-w4a16", container, engine) == ""
    for scheme, container in (
        ("int8-w8a8", "compressed-tensors"),
        ("bf16", ""),
        ("mxfp4-w4a16", "compressed-tensors"),
    ):
        assert "one tensor released in mxfp4-w4a16" in writing_refusal(
            spec, "experts-down", scheme, container, "vllm"
        )
    assert writing_refusal(spec, "attention-out", "int8-w8a8", "compressed-tensors", "vllm") == ""
    assert writing_refusal(spec, "attention-out", "bf16", "", "vllm") == ""


def test_every_format_names_its_source() -> None:
    # MLX's own converter writes its files.
    assert set(writers()) == {*EXPORTERS, "mlx"}
    assert "made for vllm" in writing_refusal(
        bundled_model("llama-3.2-1b"), "mlp-down", "ggml-q8_0", "gguf", "vllm"
    )
    assert all(writer.source for writer in writers().values())
