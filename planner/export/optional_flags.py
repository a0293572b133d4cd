"""What a server's command says beyond layout and caches: drafted tokens, prefixes, images.

The words are those of ``data/flags.csv`` and of each engine's own options; ``method`` is what the
engine calls a kind of drafting (``planner/planning/data/engine_speculation.csv``).
"""

from __future__ import annotations

import json

from planner.base.versions import Version
from planner.export.environment import with_variables
from planner.memory.engines.catalog import Engine, parse_engine
from planner.messages.message import Text, message
from planner.models.drafting import NO_NAME
from planner.planning.engines.kv_offload import UNITS, PrefixTier, prefix_tier
from planner.planning.plan.record import Plan
from planner.planning.plan.speculation import SpeculationInfo

DRAFT_GGUF = "DRAFT.gguf"
"""Stands for the file of what drafts, in llama.cpp's format."""
DRAFT_MODEL, MTP = "draft-model", "mtp"
_SPECULATIVE_MODEL = Version("1.2")
"""TensorRT-LLM's first version that reads ``speculative_model``; older ones read
``speculative_model_dir`` (llmapi/llm_args.py, DecodingBaseConfig)."""


def draft_words(engine: str, plan: Plan) -> tuple[list[str], list[Text]]:
    """(flags, what they cannot say) of a server; nothing where no token is drafted."""
    info = plan.speculation
    if info is None:
        return [], []
    unsaid: list[Text] = (
        [message("reasons.repository_of_eagle_3_head", no_name=NO_NAME, m=plan.model.id)]
        if info.model == NO_NAME and engine != "llama.cpp"
        else []
    )
    if engine == "vllm":
        return ["--speculative-config", json.dumps(_vllm(info, plan))], unsaid
    if engine == "sglang":
        return _sglang(info), unsaid
    if engine == "llama.cpp":
        return _llamacpp(info)
    return [], unsaid  # TensorRT-LLM: in its file of options


def draft_name(info: SpeculationInfo) -> str:
    """The repository of what drafts: the public name of a bundled model, else as it is called."""
    from planner.models.catalog import catalog

    known = catalog().get(info.model)
    return info.model if known is None else known.public_name


def _vllm(info: SpeculationInfo, plan: Plan) -> dict[str, str | int]:
    named: dict[str, str | int] = {"method": info.method}
    if info.kind != MTP:
        named["model"] = draft_name(info)
    named["num_speculative_tokens"] = info.draft_tokens
    if info.kind == DRAFT_MODEL and plan.layout.tp > 1:
        named["draft_tensor_parallel_size"] = plan.layout.tp
    return named


def _sglang(info: SpeculationInfo) -> list[str]:
    path = [] if info.kind == MTP else ["--speculative-draft-model-path", draft_name(info)]
    return [
        "--speculative-algorithm",
        info.method,
        *path,
        "--speculative-num-steps",
        str(info.draft_tokens),
        "--speculative-eagle-topk",
        "1",
        "--speculative-num-draft-tokens",
        str(info.draft_tokens + 1),
    ]


def _llamacpp(info: SpeculationInfo) -> tuple[list[str], list[Text]]:
    words = ["--spec-type", info.method, "--spec-draft-n-max", str(info.draft_tokens)]
    if info.kind == MTP:
        return words, []
    name = draft_name(info)
    made = message("reasons.eagle_3_head") if name == NO_NAME else name
    return [*words, "--spec-draft-model", DRAFT_GGUF, "--spec-draft-ngl", "999"], [
        message("reasons.made_by_convert_hf_to", draft_gguf=DRAFT_GGUF, made=made)
    ]


def draft_options(plan: Plan) -> dict[str, object]:
    """What the file of options of ``trtllm-serve`` says of drafting; nothing where no token is
    drafted."""
    info = plan.speculation
    if info is None:
        return {}
    config: dict[str, str | int] = {"decoding_type": info.method}
    if info.kind == MTP:
        config["num_nextn_predict_layers"] = info.draft_tokens
        return {"speculative_config": config}
    engine = parse_engine(f"tensorrt-llm@{plan.engine.version or ''}".rstrip("@"))
    older = engine.version < _SPECULATIVE_MODEL
    config["max_draft_len"] = info.draft_tokens
    config["speculative_model_dir" if older else "speculative_model"] = draft_name(info)
    return {"speculative_config": config}


def image_words(engine: str, plan: Plan) -> tuple[list[str], list[Text]]:
    """(words that leave the encoder out, what is left to say); nothing for models of text.

    vLLM initialises no encoder where every kind of input is limited to none; llama.cpp loads one
    only with --mmproj; SGLang and TensorRT-LLM load the whole model.
    """
    note = next((a for a in plan.assumptions if a.key == "images"), None)
    if note is None or engine == "llama.cpp":
        return [], []
    if engine == "vllm":
        return ["--language-model-only"], [message("reasons.for_images_leave_language_model")]
    size = str(note.value).removeprefix("encoder of ").removesuffix(" not loaded")
    loaded = message("reasons.server_loads_their_encoder_as", x=size)
    return [], [message("structure.named", name=message("assumptions.images"), text=loaded)]


OPTION = "host_cache_size"
"""The key of TensorRT-LLM's file of options."""
ENGINE = "engine"


def with_prefix_flags(
    engine: Engine,
    plan: Plan,
    words: list[str],
) -> tuple[list[str], list[Text]]:
    """(``words`` with what the tier of the plan needs, what they cannot say)."""
    row = tier_of(engine, plan)
    if row is None:
        return words, []
    more = list(row.more)
    if row.flag and row.flag != OPTION:
        more += (
            [f"{row.flag}={_size(row, plan)}"]
            if row.flag.isupper()
            else [row.flag, _size(row, plan)]
        )
    set_before = [word for word in more if word.partition("=")[0].isupper()]
    unsaid: list[Text] = (
        [message("reasons.nvme_stands_for_folder_on")]
        if any("/NVME" in word for word in more)
        else []
    )
    if not row.flag:
        unsaid.append(message("reasons.how_much_of_drive_prefixes"))
    words = [*words, *(word for word in more if word not in set_before)]
    variables = dict(word.split("=", 1) for word in set_before)
    return with_variables(words, variables), unsaid


def prefix_options(engine: Engine, plan: Plan) -> dict[str, int]:
    """What TensorRT-LLM's options say of it under ``kv_cache_config``."""
    row = tier_of(engine, plan)
    return {OPTION: int(_size(row, plan))} if row is not None and row.flag == OPTION else {}


def tier_of(engine: Engine, plan: Plan) -> PrefixTier | None:
    """The engine's tier that the plan loads prefixes from; None where it loads none."""
    offload = plan.prefix_cache.offload if plan.prefix_cache is not None else None
    if offload is None or not offload.loads:
        return None
    return prefix_tier(engine.name, engine.version_text, offload.tier)


def _size(row: PrefixTier, plan: Plan) -> str:
    """The tier's size as its flag takes it: whole units, rounded down."""
    assert plan.prefix_cache is not None
    assert plan.prefix_cache.offload is not None
    ranks = plan.layout.tp * plan.layout.pp if row.scope == ENGINE else 1
    return str(plan.prefix_cache.offload.bytes_per_device * ranks // UNITS[row.unit])
