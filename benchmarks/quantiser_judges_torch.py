"""Exported scripts run by llm-compressor and torchao on a small model: run by quantiser_judges.py.

    ENGINE/bin/python quantiser_judges_torch.py CASES.json ANSWERS.json

Runs in PyTorch's environment and imports nothing of the planner. A random model is made once; each
case's ``quantise.py`` makes a checkpoint of it, transformers loads that again, and every linear
layer is told by the type of its weight, with how far its answers are from the model's.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def random_model(config: str, folder: Path) -> None:
    """A model with normal weights and a tokeniser of numbered words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    given = AutoConfig.from_pretrained(config)
    AutoModelForCausalLM.from_config(given, dtype=torch.bfloat16).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(given.vocab_size)}, "w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0").save_pretrained(folder)


def texts(path: Path) -> None:
    """Calibration text in the model's words."""
    lines = [
        json.dumps({"text": " ".join(f"w{(7 * n + k) % 256}" for k in range(64))}) for n in range(8)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def answers(model: Any) -> Any:
    """Logits of a few fixed tokens."""
    import torch

    with torch.no_grad():
        return model(torch.arange(1, 33)[None] * 7 % 256).logits.float()


def linears(folder: Path, model: Any) -> dict[str, str]:
    """Module → how its weight is stored: types of its tensors in the file, or the class that holds
    it in memory where that is torchao's."""
    from safetensors import safe_open

    found: dict[str, dict[str, str]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no mapping)
                stem, _, last = name.rpartition(".")
                kind = str(opened.get_slice(name).get_dtype())
                found.setdefault(stem, {})[last] = kind
    out = {}
    for name, module in model.named_modules():
        held = type(getattr(module, "weight", None)).__name__
        kinds = found.get(name, {})
        if held not in ("NoneType", "Parameter", "Tensor"):
            out[name] = held
        elif kinds:
            out[name] = " ".join(f"{key}:{kind}" for key, kind in sorted(kinds.items()))
    return out


def judged(case: dict[str, Any], model: Path, plain: Any, root: Path) -> dict[str, Any]:
    """One export: its script run, the checkpoint loaded."""
    from transformers import AutoModelForCausalLM

    out = root / f"made-{case['id']}".replace(" ", "-")
    argv = [case["script"], str(model), str(out)]
    if case["calibrated"]:
        texts(root / "texts.json")
        argv.append(str(root / "texts.json"))
    kept, sys.argv = sys.argv, argv
    try:
        runpy.run_path(case["script"], run_name="__main__")
        again = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
        found = answers(again)
        error = ((found - plain).norm() / plain.norm()).item()
        return {"id": case["id"], "error": "", "modules": linears(out, again), "away": error}
    except (Exception, SystemExit) as error:
        return {"id": case["id"], "error": f"{type(error).__name__}: {error}"[:400]}
    finally:
        sys.argv = kept


def main() -> None:
    """Make the model, then judge every case."""
    from transformers import AutoModelForCausalLM

    cases = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    root = Path(sys.argv[2]).resolve().parent
    random_model(cases["config"], root / "model")
    plain = answers(AutoModelForCausalLM.from_pretrained(root / "model", dtype="auto"))
    said = [judged(case, root / "model", plain, root) for case in cases["cases"]]
    Path(sys.argv[2]).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
