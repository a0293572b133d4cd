"""Quantise a model in blocks as quantization_config.json says: python quantise.py MODEL OUT.

MODEL is a folder of safetensors files in 16 bits; modules.json lists what is quantised.
"""

import json
import pathlib
import re
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

here = pathlib.Path(__file__).parent
source, out = map(pathlib.Path, sys.argv[1:3])
config = json.loads((here / "quantization_config.json").read_text(encoding="utf-8"))
named = json.loads((here / "modules.json").read_text(encoding="utf-8"))
exact = {name for name in named if not name.startswith("re:")}
patterns = [re.compile(name[3:]) for name in named if name.startswith("re:")]
fp8 = config["quant_method"] == "fp8"
largest = 448.0 if fp8 else 127.0


def quantise(weight):
    rows, columns = weight.shape
    padded = torch.zeros(-(-rows // 128) * 128, -(-columns // 128) * 128)
    padded[:rows, :columns] = weight.float()
    blocks = padded.view(padded.shape[0] // 128, 128, padded.shape[1] // 128, 128)
    scale = blocks.abs().amax(dim=(1, 3)).clamp(min=1e-12) / largest
    if config.get("scale_fmt") == "ue8m0":
        scale = torch.exp2(torch.ceil(torch.log2(scale)))
    whole = (blocks / scale[:, None, :, None]).view(padded.shape)[:rows, :columns]
    whole = whole.clamp(-largest, largest)
    return (whole.to(torch.float8_e4m3fn) if fp8 else whole.round().to(torch.int8)), scale


out.mkdir(parents=True)
index, size = {}, 0
for path in sorted(source.glob("*.safetensors")):
    made = {}
    for name, tensor in load_file(path).items():
        module = name.removesuffix(".weight")
        if module in exact or any(pattern.match(module) for pattern in patterns):
            tensor, made[f"{module}.weight_scale_inv"] = quantise(tensor)
        made[name] = tensor.contiguous()
    save_file(made, out / path.name, metadata={"format": "pt"})
    index |= dict.fromkeys(made, path.name)
    size += sum(tensor.numel() * tensor.element_size() for tensor in made.values())
for path in source.iterdir():
    if path.is_file() and path.suffix != ".safetensors":
        shutil.copy(path, out)
stated = json.loads((source / "config.json").read_text(encoding="utf-8"))
stated["quantization_config"] = config
(out / "config.json").write_text(json.dumps(stated, indent=2), encoding="utf-8")
(out / "model.safetensors.index.json").write_text(
    json.dumps({"metadata": {"total_size": size}, "weight_map": index}), encoding="utf-8")
