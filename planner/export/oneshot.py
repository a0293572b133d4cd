"""llm-compressor's ``oneshot`` on an export's recipe: the script, and what to say of its data.

Read and run in llm-compressor 0.14 (entrypoints/oneshot.py, modifiers/quantization/mixin.py): a
recipe with scales of a cache, or with activations that are not all scaled at run time, needs
calibration data. Its ``pipeline="datafree"`` then leaves those scales as they were allocated, which
is whatever memory held: without data the scales of a cache are left out of the recipe instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FILE, RECIPE = "quantise.py", "recipe.yaml"
SAMPLES, TOKENS = 512, 2048
"""Calibration texts, and tokens of each, as llm-compressor's examples take them."""
_DATASET = "ultrachat_200k"


def activations_need_data(config: Mapping[str, Any]) -> bool:
    """Whether some activations have a scale that is stored (NVFP4's global one)."""
    return any(
        group["input_activations"] is not None and group["input_activations"]["dynamic"] is not True
        for group in config["config_groups"].values()
    )


def needs_data(config: Mapping[str, Any]) -> bool:
    """Whether a ``quantization_config`` needs calibration data."""
    return config["kv_cache_scheme"] is not None or activations_need_data(config)


def script(config: Mapping[str, Any]) -> str:
    """The program that makes the weights of a ``quantization_config``."""
    if not needs_data(config):
        return _PLAIN
    free = "" if activations_need_data(config) else " | data-free"
    return _CALIBRATED.format(
        usage=f"[TEXTS.json{free}]",
        samples=SAMPLES,
        tokens=TOKENS,
        dataset=_DATASET,
        free=_DATA_FREE if free else "",
    )


def steps(config: Mapping[str, Any]) -> tuple[str, ...]:
    """How the weights are made, and what is left out where no data calibrate them."""
    out = [
        "Install `llmcompressor` (0.14 was tried) and run `python quantise.py MODEL OUT`, MODEL "
        "in 16 bits (a quantised release must be widened first): it calls `oneshot` with "
        f"{RECIPE}, which is JSON, which is YAML."
    ]
    if needs_data(config):
        why = "NVFP4 activations" if activations_need_data(config) else "the FP8 cache"
        out.append(
            f"Scales of {why} are calibrated: on {SAMPLES} conversations of {_DATASET}, "
            'which are downloaded, or on `TEXTS.json`, lines of `{"text": …}`, given as '
            "the third word."
        )
        if not activations_need_data(config):
            out[-1] += (
                " `data-free` as the third word goes without data: the checkpoint then has "
                "no scales of the cache, and the engine takes 1."
            )
    out.append(
        "llm-compressor writes `quantization_config` into config.json itself; compare it "
        "with quantization_config.json, or copy that in where weights were made by another "
        "tool."
    )
    return tuple(out)


_PLAIN = '''"""Quantise a model as recipe.yaml says: python quantise.py MODEL OUT."""

import pathlib
import sys

from llmcompressor import oneshot

source, out = sys.argv[1:3]
recipe = str(pathlib.Path(__file__).parent / "recipe.yaml")
oneshot(model=source, recipe=recipe, output_dir=out)
'''
_CALIBRATED = '''"""Quantise a model as recipe.yaml says: python quantise.py MODEL OUT {usage}."""

import json
import pathlib
import sys

from datasets import load_dataset
from llmcompressor import oneshot

source, out = sys.argv[1:3]
texts = sys.argv[3] if len(sys.argv) > 3 else ""
recipe = json.loads((pathlib.Path(__file__).parent / "recipe.yaml").read_text(encoding="utf-8"))
{free}if texts:
    data = {{"dataset": load_dataset("json", data_files=texts, split="train")}}
else:
    data = {{"dataset": "{dataset}", "splits": "train_sft[:{samples}]"}}
oneshot(model=source, recipe=json.dumps(recipe), output_dir=out,
        num_calibration_samples={samples}, max_seq_length={tokens}, **data)
'''
_DATA_FREE = """if texts == "data-free":
    del recipe["quant_stage"]["quant_modifiers"]["QuantizationModifier"]["kv_cache_scheme"]
    oneshot(model=source, recipe=json.dumps(recipe), output_dir=out)
    sys.exit()
"""
