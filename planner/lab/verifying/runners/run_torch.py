"""Load a checkpoint with transformers, time its passes, keep its logits.

Runs in the Python that has PyTorch and transformers (and torchao, where its folder is quantised):
``python run_torch.py QUESTION.json ANSWER.json``. The question has model (a folder), tokens (.npy,
chunks × length), logits (.npy to write, or ""), from_position (the first whose logits are kept),
prompt, new_tokens, batches, repeats, threads, device and seed. Passes run eagerly, with the model's
own cache.
"""

import json
import os
import resource
import sys
import time
import traceback
from typing import Any


def main(question_path: str, answer_path: str) -> int:
    """Answer the question; a failure is an answer too, with the engine's own words."""
    with open(question_path, encoding="utf-8") as file:
        question = json.load(file)
    answer: dict[str, Any] = {"engine": "pytorch", "complete": False}
    try:
        measure(question, answer)
        answer["complete"] = True
    except BaseException as error:  # whatever an engine raises is its answer
        answer["error"] = f"{type(error).__name__}: {error}"
        answer["trace"] = traceback.format_exc()[-4000:]
    beside = answer_path + ".part"
    with open(beside, "w", encoding="utf-8", newline="\n") as file:
        json.dump(answer, file)
    os.replace(beside, answer_path)
    return 0 if answer["complete"] else 1


def measure(question: Any, answer: Any) -> None:
    """Fill ``answer`` part by part, so that what was measured before a failure is kept."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import numpy
    import torch
    import transformers

    torch.manual_seed(question["seed"])
    torch.set_num_threads(question["threads"])
    answer["version"], answer["transformers"] = torch.__version__, transformers.__version__
    answer["threads"] = torch.get_num_threads()
    answer["isa"] = torch.backends.cpu.get_cpu_capability()
    tokens = numpy.load(question["tokens"])
    start = time.perf_counter()
    model = loaded(question, torch, transformers)
    answer["load_seconds"] = time.perf_counter() - start
    sizes(model, answer)
    with torch.inference_mode():
        if question["logits"]:
            keep_logits(model, numpy, torch, tokens, question)
        answer["runs"] = [
            timed(model, numpy, torch, tokens, question, batch, answer)
            for batch in question["batches"]
            for _ in range(question["repeats"])
        ]
    answer["peak_bytes"] = peak_bytes()


def peak_bytes() -> int:
    """The most memory that this process had [B]: macOS tells bytes, Linux KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def loaded(question: Any, torch: Any, transformers: Any) -> Any:
    """The model in BF16, or quantised as its folder says."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        question["model"], dtype=torch.bfloat16
    )
    return model.to(question["device"]).eval()


def parts(tensor: Any) -> list[Any]:
    """The plain tensors that a tensor is made of."""
    names = getattr(tensor, "tensor_data_names", None)
    if (
        names is None
        and hasattr(tensor, "__tensor_flatten__")
        and type(tensor).__name__ not in ("Parameter", "Tensor")
    ):
        names = tensor.__tensor_flatten__()[0]
    if not names:
        return [tensor]
    names = list(names) + list(getattr(tensor, "optional_tensor_data_names", None) or [])
    return [
        part
        for name in names
        if getattr(tensor, name, None) is not None
        for part in parts(getattr(tensor, name))
    ]


def sizes(model: Any, answer: Any) -> None:
    """Bytes of all weights, and how each linear layer's is held."""
    seen: set[int] = set()
    weight_bytes, kinds = 0, dict[str, int]()
    for _, tensor in [*model.named_parameters(), *model.named_buffers()]:
        for part in parts(tensor.data if type(tensor).__name__ == "Parameter" else tensor):
            key = part.untyped_storage().data_ptr()
            if key not in seen:
                seen.add(key)
                weight_bytes += part.untyped_storage().nbytes()
    for module in model.modules():
        if type(module).__name__ in ("Linear", "Embedding"):
            name = f"{type(module).__name__}/{type(module.weight.data).__name__}"
            kinds[name] = kinds.get(name, 0) + 1
    answer["weight_bytes"], answer["kernels"] = weight_bytes, kinds


def keep_logits(model: Any, numpy: Any, torch: Any, tokens: Any, question: Any) -> None:
    """Logits after each token of a chunk but the last, float32 (chunks, positions, vocabulary)."""
    first = question["from_position"]
    kept: list[Any] = []
    for chunk in tokens:
        ids = torch.from_numpy(chunk[None, :-1]).to(question["device"])
        kept.append(model(ids).logits[0, first:].float().cpu().numpy())
    numpy.save(question["logits"], numpy.stack(kept))


def timed(
    model: Any, numpy: Any, torch: Any, tokens: Any, question: Any, batch: Any, answer: Any
) -> dict[str, Any]:
    """Seconds of the prompts' pass and of every pass of one token after it."""
    flat = numpy.resize(tokens.reshape(-1), batch * question["prompt"])
    ids = torch.from_numpy(flat.reshape(batch, question["prompt"])).to(question["device"])
    start = time.perf_counter()
    out = model(ids, use_cache=True, logits_to_keep=1)
    token = out.logits[:, -1:].argmax(-1).cpu().to(ids.device)
    prefill, steps = time.perf_counter() - start, list[float]()
    for _ in range(question["new_tokens"] - 1):
        start = time.perf_counter()
        out = model(token, past_key_values=out.past_key_values, use_cache=True)
        token = out.logits[:, -1:].argmax(-1).cpu().to(ids.device)
        steps.append(time.perf_counter() - start)
    if batch == question["batches"][0]:
        answer["cache_bytes"] = cache_bytes(out.past_key_values)
    return {
        "batch": batch,
        "prompt": question["prompt"],
        "new_tokens": question["new_tokens"],
        "prefill_seconds": prefill,
        "prefill_steps": 1,
        "decode_seconds": steps,
    }


def cache_bytes(cache: Any) -> int:
    """Bytes of keys and values."""
    return sum(
        tensor.numel() * tensor.element_size()
        for layer in getattr(cache, "layers", ())
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None))
        if tensor is not None
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
