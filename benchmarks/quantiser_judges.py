"""Exports made into weights by the libraries they are for, on a small random model.

    python -m benchmarks.quantiser_judges --torch ENGINE/bin/python [--only nvfp4] [--write PAGE]

Each scheme of each format that has a script (llm-compressor's recipe, torchao's configuration,
blocks of DeepSeek's kind) is exported for a model of two layers, with one layer left plain; the
script is run in PyTorch's environment, transformers loads the result, and every linear layer must
be stored quantised or plain as the plan says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import planner
from evaluation.pages import moved, publish
from planner.export import compressed_tensors, fp8, torchao
from planner.export.assignment import ModuleAssignment, from_schemes
from planner.placement.cache_entries import cache_units
from planner.placement.modules import PLANNED_KINDS

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 256,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512,
    "hidden_act": "silu",
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FORMATS = {
    "compressed-tensors": (compressed_tensors.export, tuple(compressed_tensors.SCHEMES)),
    "torchao": (torchao.export, tuple(torchao.SCHEMES)),
    "fp8": (fp8.export, ("fp8-block",)),
}
NEEDS = {
    "torchao fp8-tensor": "CUDA at compute capability 8.9",
    "torchao nvfp4": "CUDA at 10.0",
    "torchao fp8-channel": "CUDA at compute capability 8.9",
    "torchao mxfp8": "CUDA",
    "torchao mxfp4": "CUDA",
    "torchao int4-w4a16": "the package mslk",
    "torchao int4-w4a16-g32": "the package mslk",
}
"""What torchao 0.18 asks for where a machine without a GPU ends it."""
HELPER = Path(__file__).with_name("quantiser_judges_torch.py")
LIMIT_SECONDS = 3600
MARK = "## Weights made by the exported scripts"


def assigned(spec: Any, scheme: str) -> ModuleAssignment:
    """The scheme everywhere but in the last layer's MLP."""
    last = spec.layers - 1
    keys = dict.fromkeys(
        (row.kind, layer) for row in spec.rows if row.kind in PLANNED_KINDS for layer in row.layers
    )
    caches = {(unit.kind, layer): "bf16" for unit in cache_units(spec) for layer in unit.layers}
    return from_schemes(
        spec,
        {key: "bf16" if key[0].startswith("mlp") and key[1] == last else scheme for key in keys},
        caches,
    )


def prepared(root: Path, only: str) -> tuple[dict[str, Any], dict[str, dict[str, bool]]]:
    """What the helper is given, and by case which modules are quantised."""
    (root / "config").mkdir(parents=True)
    (root / "config" / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    spec = planner.load_model(str(root / "config"))
    cases, expected = [], {}
    for target, (export, schemes) in FORMATS.items():
        for scheme in schemes:
            name = f"{target} {scheme}"
            if only not in name:
                continue
            assignment = assigned(spec, scheme)
            files = export(assignment).files
            folder = root / name.replace(" ", "-")
            folder.mkdir()
            for file, text in files.items():
                (folder / file).write_text(text, encoding="utf-8")
            config = json.loads(files.get("quantization_config.json", "{}"))
            cases.append(
                {
                    "id": name,
                    "script": str(folder / "quantise.py"),
                    "calibrated": "config_groups" in config
                    and compressed_tensors.needs_data(config),
                }
            )
            expected[name] = {
                module: one.scheme == scheme for one in assignment.linears for module in one.names()
            }
    return {"config": str(root / "config"), "cases": cases}, expected


def row(said: dict[str, Any], expected: dict[str, bool]) -> tuple[str, bool]:
    """A line of the table, and whether all is as planned."""
    first = said["error"].splitlines()[0][:200] if said["error"] else ""
    if first and said["id"] in NEEDS:
        return f"| {said['id']} | – | – | not here: it needs {NEEDS[said['id']]} ({first}) |", True
    if first:
        return f"| {said['id']} | – | – | {first} |", False
    plain = {"weight:BF16"}
    differ = [
        name
        for name, quantised in expected.items()
        if (said["modules"].get(name, "absent") not in plain) != quantised
    ]
    kinds = sorted({said["modules"].get(name, "absent") for name, q in expected.items() if q})
    return (
        f"| {said['id']} | {len(differ)} of {len(expected)} | {said['away']:.3f} | "
        f"{'; '.join(kinds)} |",
        not differ,
    )


def main() -> int:
    """Prepare, run, compare; 1 where anything differs or fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", type=Path, required=True, help="python of PyTorch's environment")
    parser.add_argument("--only", default="")
    parser.add_argument("--write", type=Path, help="page whose part is replaced")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        ready, expected = prepared(root, given.only)
        (root / "cases.json").write_text(json.dumps(ready), encoding="utf-8")
        done = subprocess.run(
            [given.torch.absolute(), HELPER.resolve(), root / "cases.json", root / "said.json"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"error: {HELPER.name} failed: {done.stderr[-2000:]}")
        said = json.loads((root / "said.json").read_text(encoding="utf-8"))
    rows = [row(one, expected[one["id"]]) for one in said]
    lines = [
        "| export | modules stored otherwise | away | stored as, or why it failed |",
        "|---|---|---:|---|",
        *(line for line, _ in rows),
    ]
    absent = sum("| not here: " in line for line, _ in rows)
    text = "\n".join(
        [
            MARK,
            "",
            f"A random LLaMA of two layers: {sum(good for _, good in rows) - absent} of "
            f"{len(rows)} exports store what they say, {absent} need CUDA or a package that is not "
            "here; *away* is the relative distance of the reloaded logits.",
            moved("engines-judged-exports", "Every export", lines),
            "",
        ]
    )
    print(text)
    if given.write:
        page = given.write.read_text(encoding="utf-8") if given.write.exists() else ""
        head, _, rest = page.partition(MARK)
        after = rest[rest.find("\n## ") :] if "\n## " in rest else ""
        publish(given.write, head.rstrip() + "\n\n" + text + after)
    return int(not all(good for _, good in rows))


if __name__ == "__main__":
    sys.exit(main())
