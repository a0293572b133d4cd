"""Quantise a model as fqn_to_config.json says: python quantise.py MODEL OUT."""

import json
import pathlib
import sys

from torchao.core.config import config_from_dict
from transformers import AutoModelForCausalLM, TorchAoConfig

source, out = sys.argv[1:3]
text = (pathlib.Path(__file__).parent / "fqn_to_config.json").read_text(encoding="utf-8")
config = TorchAoConfig(quant_type=config_from_dict(json.loads(text)), modules_to_not_convert=[])
model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", device_map="auto",
                                             quantization_config=config)
model.save_pretrained(out)
