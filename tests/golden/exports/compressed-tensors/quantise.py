"""Quantise a model as recipe.yaml says: python quantise.py MODEL OUT [TEXTS.json | data-free]."""

import json
import pathlib
import sys

from datasets import load_dataset
from llmcompressor import oneshot

source, out = sys.argv[1:3]
texts = sys.argv[3] if len(sys.argv) > 3 else ""
recipe = json.loads((pathlib.Path(__file__).parent / "recipe.yaml").read_text(encoding="utf-8"))
if texts == "data-free":
    del recipe["quant_stage"]["quant_modifiers"]["QuantizationModifier"]["kv_cache_scheme"]
    oneshot(model=source, recipe=json.dumps(recipe), output_dir=out)
    sys.exit()
if texts:
    data = {"dataset": load_dataset("json", data_files=texts, split="train")}
else:
    data = {"dataset": "ultrachat_200k", "splits": "train_sft[:512]"}
oneshot(model=source, recipe=json.dumps(recipe), output_dir=out,
        num_calibration_samples=512, max_seq_length=2048, **data)
