"""Load a checkpoint in vLLM, count its cache, time its steps, keep its logits.

Runs in vLLM's own Python: ``python run_vllm.py QUESTION.json ANSWER.json``. The question has model
(a folder), tokens (.npy, chunks × length), logits (.npy to write, or ""), from_position (the first
whose logits are kept), kv_bytes, kv_dtype, max_model_len, prompt, new_tokens, batches, repeats,
budget_seconds, eager, seed. Steps are timed one by one: those that read prompts apart from those
that only decode. An engine whose steps are slow is not waited for: where the budget is spent, the
answer has the runs, steps and chunks that were measured until then, and no others.
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import sys
import time
import traceback
from typing import Any

LEAST_STEPS = 4
"""Decode steps that a run has whatever they take."""


def main(question_path: str, answer_path: str) -> int:
    """Answer the question; a failure is an answer too, with the engine's own words."""
    with open(question_path, encoding="utf-8") as file:
        question = json.load(file)
    answer: dict[str, Any] = {"engine": "vllm", "complete": False}
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
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import numpy
    import torch
    import vllm

    answer["version"] = vllm.__version__
    answer["torch"] = torch.__version__
    answer["isa"] = torch.backends.cpu.get_cpu_capability()
    tokens = numpy.load(question["tokens"])
    watch_loading(answer)
    start = time.perf_counter()
    llm = engine(
        question, vllm, max(tokens.shape[1] + 1, question["prompt"] + question["new_tokens"])
    )
    answer["load_seconds"] = time.perf_counter() - start
    answer["threads"] = torch.get_num_threads()
    sizes(llm, question, answer)
    if question["logits"]:
        answer["chunks"] = keep_logits(llm, vllm, numpy, torch, tokens, question)
    answer["runs"] = []
    for batch in question["batches"]:
        timed_repeats(llm, vllm, numpy, tokens, question, batch, answer["runs"])
    answer["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def engine(question: Any, vllm: Any, longest: Any) -> Any:
    """The engine in this process, without a tokeniser: requests are token ids."""
    more = {"kv_cache_memory_bytes": question["kv_bytes"]} if question["kv_bytes"] else {}
    return vllm.LLM(
        model=question["model"],
        dtype="bfloat16",
        seed=question["seed"],
        skip_tokenizer_init=True,
        enforce_eager=question["eager"],
        enable_prefix_caching=False,
        max_model_len=max(question["max_model_len"], longest),
        max_num_batched_tokens=max(
            longest, max(question["batches"], default=1) * question["prompt"], 2048
        ),
        max_num_seqs=max(question["batches"], default=1),
        kv_cache_dtype=question["kv_dtype"],
        disable_log_stats=True,
        max_logprobs=1,
        **more,
    )


def watch_loading(answer: Any) -> None:
    """Note the memory that the process takes while weights are read and packed: kernels keep copies
    of their own, so that parameters do not say it. Pages of the mapped file are not counted."""
    from vllm.v1.worker.cpu_worker import CPUWorker

    own = CPUWorker.load_model

    def watched(self: Any, *given: Any, **more: Any) -> Any:
        before = anonymous_bytes()
        result = own(self, *given, **more)
        answer["weight_bytes"] = anonymous_bytes() - before
        return result

    CPUWorker.load_model = watched


def model_of(llm: Any) -> Any:
    """The model in this process."""
    worker = llm.llm_engine.model_executor.driver_worker
    return getattr(worker, "worker", worker).model_runner.model


def sizes(llm: Any, question: Any, answer: Any) -> None:
    """The kernels that were taken, and the cache."""
    answer["kernels"] = kernels(model_of(llm))
    config = llm.llm_engine.vllm_config
    worker = llm.llm_engine.model_executor.driver_worker
    runner = getattr(worker, "worker", worker).model_runner
    answer["blocks"] = config.cache_config.num_gpu_blocks
    answer["block_tokens"] = config.cache_config.block_size
    answer["cache_tokens"] = cache_tokens(config, runner, question["max_model_len"])
    answer["cache_bytes"] = cache_bytes(runner.kv_caches)


def cache_tokens(config: Any, runner: Any, context: int) -> int:
    """Tokens of the cache as the engine counts them: how many requests of ``context`` tokens it
    holds, times their tokens. Layers with a window keep blocks of their own."""
    try:
        from vllm.v1.core.kv_cache_utils import get_kv_cache_capacity
    except ImportError:  # before 0.3x, which counts blocks alone
        blocks = config.cache_config.num_gpu_blocks // len(runner.kv_cache_config.kv_cache_groups)
        return int(blocks * config.cache_config.block_size)
    longest, config.model_config.max_model_len = config.model_config.max_model_len, context
    try:
        return int(get_kv_cache_capacity(config, runner.kv_cache_config)[0])
    finally:
        config.model_config.max_model_len = longest


def cache_bytes(caches: Any) -> int:
    """Bytes of the caches of all layers; groups of layers share theirs."""
    bytes_by_kind = {
        cache.untyped_storage().data_ptr(): cache.untyped_storage().nbytes()
        for cache in caches
        if hasattr(cache, "untyped_storage")
    }
    return sum(bytes_by_kind.values())


def kernels(model: Any) -> dict[str, int]:
    """How many linear layers each method and kernel of the engine takes."""
    counts: dict[str, int] = {}
    for module in model.modules():
        method = getattr(module, "quant_method", None)
        if method is None:
            continue
        scheme = getattr(module, "scheme", None)
        kernel = getattr(scheme, "kernel", None) or getattr(scheme, "fp8_linear", None)
        name = "/".join(
            type(part).__name__ for part in (method, scheme, kernel) if part is not None
        )
        counts[name] = counts.get(name, 0) + 1
    return counts


def keep_logits(llm: Any, vllm: Any, numpy: Any, torch: Any, tokens: Any, question: Any) -> int:
    """Logits after each token of a chunk but the last, float32 (chunks, positions, vocabulary), of
    the chunks that the budget is enough for, at least one; how many those are."""
    model, first = model_of(llm), question["from_position"]
    own, length = model.compute_logits, tokens.shape[1]
    kept: list[Any] = []
    done, end = 0, time.perf_counter() + question["budget_seconds"]

    def hooked(hidden: Any, *rest: Any, **more: Any) -> Any:
        out = own(hidden, *rest, **more)
        if out is not None and out.shape[0] == length - 1:
            kept.append(out[first:].to(torch.float32).numpy().copy())
        return out

    model.compute_logits = hooked
    try:
        sampling = vllm.SamplingParams(
            max_tokens=1, temperature=0.0, prompt_logprobs=1, ignore_eos=True, detokenize=False
        )
        for chunk in tokens:
            if done and time.perf_counter() > end:
                break
            llm.generate([{"prompt_token_ids": chunk.tolist()}], sampling, use_tqdm=False)
            done += 1
    finally:
        del model.compute_logits
    if len(kept) != done:
        sys.exit(f"{len(kept)} of {done} chunks gave logits of all positions")
    numpy.save(question["logits"], numpy.stack(kept))
    return done


def timed_repeats(
    llm: Any, vllm: Any, numpy: Any, tokens: Any, question: Any, batch: Any, runs: list[Any]
) -> None:
    """Append the runs of a batch: the first, and others while its share of the budget is enough for
    another as long as the longest until then."""
    end = time.perf_counter() + question["budget_seconds"] / len(question["batches"])
    longest = 0.0
    for _ in range(question["repeats"]):
        start = time.perf_counter()
        if longest and start + longest > end:
            return
        runs.append(timed(llm, vllm, numpy, tokens, question, batch, end))
        longest = max(longest, time.perf_counter() - start)


def timed(
    llm: Any, vllm: Any, numpy: Any, tokens: Any, question: Any, batch: Any, end: float
) -> dict[str, Any]:
    """Seconds of every step of ``batch`` requests that start together; of LEAST_STEPS decode steps
    at least, and no more after ``end``."""
    flat = numpy.resize(tokens.reshape(-1), batch * question["prompt"])
    prompts = flat.reshape(batch, question["prompt"])
    sampling = vllm.SamplingParams(
        max_tokens=question["new_tokens"], temperature=0.0, ignore_eos=True, detokenize=False
    )
    engine_, names = llm.llm_engine, []
    for n, prompt in enumerate(prompts):
        names.append(f"{batch}-{n}-{time.monotonic_ns()}")
        engine_.add_request(names[-1], {"prompt_token_ids": prompt.tolist()}, sampling)
    steps: list[float] = []
    begun: set[str] = set()
    prefill = 0
    while engine_.has_unfinished_requests():
        start = time.perf_counter()
        outputs = engine_.step()
        steps.append(time.perf_counter() - start)
        if len(begun) < batch:  # the step that gives the last request its first token is the last
            begun.update(output.request_id for output in outputs)
            prefill = len(steps)
        elif len(steps) - prefill >= LEAST_STEPS and time.perf_counter() > end:
            engine_.abort_request(names)
    return {
        "batch": batch,
        "prompt": question["prompt"],
        "new_tokens": question["new_tokens"],
        "prefill_seconds": sum(steps[:prefill]),
        "prefill_steps": prefill,
        "decode_seconds": steps[prefill:],
    }


def anonymous_bytes() -> int:
    """Bytes of this process in memory that no file stands behind, without what was freed [B]."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    sys.exit("/proc/self/status does not tell RssAnon")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
