"""llama.cpp: ``llama-quantize --tensor-type`` for every matrix, by GGUF tensor name.

Sources: ggml-org/llama.cpp tools/quantize/quantize.cpp and gguf-py/gguf/constants.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from planner.base.errors import UnsupportedError
from planner.export.assignment import Linear, ModuleAssignment
from planner.export.targets import Exported, cannot
from planner.formats.ggml_types import GGML_WEIGHTS, PREFIX, weight_type
from planner.models.gguf_names import gguf_stems

TARGET = "llama.cpp"
TYPES = {"mxfp4-w4a16": "mxfp4", "bf16": "bf16", "fp16": "f16", "fp32": "f32"} | {
    PREFIX + name: name.replace("_k", "_K") for name in GGML_WEIGHTS
}
"""Scheme → the type's name in ggml."""
HEAD, TABLE = r"^output\.weight", r"^token_embd\.weight"
FILE = "tensor_types.txt"
ANY_BLOCKS = "Q8_0"
_BY_FLAG = ("head", "embedding")
"""Kinds that llama-quantize has flags of their own for."""


def export(assignment: ModuleAssignment, *, imatrix: str = "") -> Exported:
    """``tensor_types.txt`` and the ``quantise.sh`` that passes it to llama-quantize; ``imatrix`` is
    the importance matrix that the plan rests on, which a third argument replaces.

    Raises:
        UnsupportedError: a scheme that is no GGUF type, or a tensor whose GGUF name is not known.
    """
    used = {linear.scheme: 0 for linear in assignment.quantised() if linear.kind not in _BY_FLAG}
    for linear in assignment.quantised():
        if linear.kind == "router":
            raise cannot(TARGET, linear, "llama-quantize leaves ffn_gate_inp as it is", "it plain")
        if linear.scheme not in TYPES:
            raise cannot(TARGET, linear, "no such GGUF type", ", ".join(TYPES))
        if linear.kind not in _BY_FLAG:
            used[linear.scheme] += max(1, len(linear.layers)) * linear.experts
    if not assignment.quantised():
        return Exported({}, ("gguf",), (), ())
    main = [
        linear for linear in assignment.linears if linear.planned and linear.kind not in _BY_FLAG
    ]
    lines = [f"{pattern}={TYPES[linear.scheme]}" for linear in main for pattern in patterns(linear)]
    base = _file_type(used)
    head, table = _head_and_table(assignment)
    again = ["--allow-requantize"] if _is_quantised_file(assignment) else []
    words = ["llama-quantize", *again, "--output-tensor-type", head]
    words += ["--token-embedding-type", table]
    for line in lines:
        words += ["--tensor-type", line]
    text = " ".join(shlex.quote(word) for word in words)
    ends = (
        [f"{TABLE}={table}"]
        if assignment.spec.tied_embeddings
        else [f"{HEAD}={head}", f"{TABLE}={table}"]
    )
    if imatrix:
        text = text.replace(words[0], f'{words[0]} --imatrix "${{3:-{_quoted(imatrix)}}}"', 1)
    script = f'#!/bin/sh\nset -eu\nexec {text} "${{1:?IN.gguf}}" "${{2:?OUT.gguf}}" {base}\n'
    notes = ["routers, norms and other small tensors: llama-quantize keeps them as they are"]
    if any(linear.kind == "mtp" for linear in assignment.linears):
        notes.append("the prediction layers (MTP) are not in the plan")
    return Exported(
        {FILE: "\n".join([*ends, *lines]) + "\n", "quantise.sh": script},
        ("gguf",),
        tuple(notes),
        (
            *(_STEPS_OF_FILE if assignment.spec.source.lower().endswith(".gguf") else _STEPS),
            *([_MATRIX] if imatrix else ()),
        ),
        _read_as_released(assignment),
    )


def _is_quantised_file(assignment: ModuleAssignment) -> bool:
    """Whether the model is a GGUF file with blocks of its own: llama-quantize starts from one only
    where it is told to."""
    spec = assignment.spec
    return spec.source.lower().endswith(".gguf") and any(
        (row.scheme or "").startswith(PREFIX) for row in spec.rows
    )


def _read_as_released(assignment: ModuleAssignment) -> dict[str, str]:
    """Schemes of a type that the release has under another name, and that name: a list of types
    reads back as released."""
    released = {row.scheme for row in assignment.spec.rows if row.scheme in TYPES}
    return {
        linear.scheme: name
        for linear in assignment.quantised()
        if linear.kind not in _BY_FLAG
        for name in released
        if name is not None and name != linear.scheme and TYPES[name] == TYPES[linear.scheme]
    }


def _quoted(path: str) -> str:
    """A path inside double quotes of a shell's ${3:-…}."""
    return re.sub(r'([\\"$`}])', r"\\\1", path)


def _file_type(used: Mapping[str, int]) -> str:
    """The word for the whole file: that of the type most used. It only has to be one, and one of
    blocks, since llama-quantize reads no ``--tensor-type`` for a file in a plain type."""
    for name in sorted(used, key=lambda name: (-used[name], name)):
        kind = weight_type(name)
        if kind is not None and kind.file_type and not kind.imatrix:
            return kind.file_type
    return ANY_BLOCKS if used else "BF16"


def _head_and_table(assignment: ModuleAssignment) -> tuple[str, str]:
    """The types of output.weight and token_embd.weight; a tied head is the latter, which
    llama-quantize then gives the type of the output."""
    schemes = {
        linear.kind: linear.scheme for linear in assignment.linears if linear.kind in _BY_FLAG
    }
    stored = next(
        row.scheme or row.dtype
        for row in assignment.spec.rows
        if row.kind == "embedding" and row.part == "main"
    )
    table = TYPES.get(schemes.get("embedding", stored), "bf16")
    return TYPES.get(schemes["head"], "bf16") if "head" in schemes else table, table


def patterns(linear: Linear) -> Iterator[str]:
    """An expression for the GGUF tensors of ``linear``.

    Raises:
        UnsupportedError: the tensor's GGUF name is not known.
    """
    stems = stems_of(linear.module)
    name = re.escape(stems[0]) if len(stems) == 1 else f"({'|'.join(map(re.escape, stems))})"
    layers = "|".join(map(str, linear.layers))
    yield rf"blk\.({layers})\.{name}\.weight"


def stems_of(module: str) -> tuple[str, ...]:
    """What follows blk.N. in the GGUF names of a matrix in a layer: several for MLA's kv_b and for
    stacked experts, which are cut there (or were joined in older files).

    Raises:
        UnsupportedError: the tensor's GGUF name is not known.
    """
    stems = gguf_stems(module)
    if not stems:
        raise UnsupportedError(
            f"{TARGET}: the GGUF name of {module} is not known",
            hint="see planner.models.gguf_names for the families that are named",
        )
    return stems


_MATRIX = (
    "The importance matrix of the plan is passed on; a third argument names it elsewhere: "
    "`./quantise.sh IN.gguf OUT.gguf IMATRIX.gguf`."
)
_QUANTISE = (
    "`./quantise.sh IN.gguf OUT.gguf`: every matrix gets its own type (tensor_types.txt), the last "
    "word is only the default that llama-quantize wants."
)
_STEPS = (
    "Convert the checkpoint: `convert_hf_to_gguf.py MODEL --outtype bf16 --outfile IN.gguf`.",
    _QUANTISE,
)
_STEPS_OF_FILE = ("IN.gguf is the file that the plan was made for.", _QUANTISE)
