"""The program of the process beside: builds a model on the meta device and prints what it holds.

Run by its file's name with a configuration on standard input. It reads no weights, no hub and no
code but the installed transformers'; a model on the meta device has shapes and no elements. The one
line of JSON that it prints is read by :mod:`planner.models.through_transformers.built`.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

TOKENS = 3
"""Tokens of the prompt that shows the caches: fewer than any window holds."""
MAPPINGS = (
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES", "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "MODEL_MAPPING_NAMES",
)  # fmt: skip
_CACHES = ("past_key_values", "cache_params", "cache")
_LEFT_OUT = ("auto_map", "quantization_config", "model_type", "trust_remote_code")
SIZES = (
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
    "max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len", "seq_length",
    "num_key_value_heads", "head_dim", "q_lora_rank",
    "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "index_n_heads",
    "index_head_dim", "index_topk", "num_experts_per_tok", "num_experts_per_token", "moe_k",
    "moe_topk", "moe_top_k", "top_k_experts", "num_selected_experts", "experts_per_token",
    "n_group", "topk_group", "n_groups", "mamba_n_groups", "mamba_ngroups", "is_encoder_decoder",
    "linear_num_key_heads",
)  # fmt: skip


def main() -> None:
    """Read a configuration, print the model."""
    request = json.load(sys.stdin)
    _limit(request["memory_bytes"])
    warnings.simplefilter("ignore")
    try:
        import torch
        import transformers
    except ImportError as error:
        print(json.dumps({"error": str(error), "missing": error.name or "transformers"}))
        return
    transformers.logging.set_verbosity_error()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = built(request["config"], request["plain"], torch, transformers)
    except Exception as error:  # whatever a model's own code raises is the answer
        answer = {"error": f"{type(error).__name__}: {error}"[:600]}
    answer["transformers"] = transformers.__version__
    print(json.dumps(answer))


def _limit(memory_bytes: int) -> None:
    """Hold this process to ``memory_bytes`` of data of its own, where the system can."""
    with contextlib.suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def built(values: dict[str, Any], plain: str, torch: Any, transformers: Any) -> dict[str, Any]:
    """The tensors, caches and sizes of the model that ``values`` configures."""
    if not _known(values["model_type"]):
        return {"unknown": values["model_type"]}
    kept = {key: _floats(value) for key, value in values.items() if key not in _LEFT_OUT}
    config = transformers.AutoConfig.for_model(values["model_type"], **kept)
    cls = class_of(values, config, transformers)
    with torch.device("meta"):
        model = cls._from_config(config, dtype=getattr(torch, plain), attn_implementation="eager")
        model.tie_weights()
    model.eval()
    text = config.get_text_config(decoder=True)
    stack = stack_of(model, text, torch)
    tensors, shares = list(tensors_of(model, stack)), shared(stack)
    caches, why = caches_of(model, text, torch, transformers)
    return {
        "class": cls.__name__, "layers": 0 if stack is None else len(stack),
        "tensors": tensors, "causal": causal(stack), "shares": shares,
        "caches": caches, "not_run": why,
        "nested": any(type(value).__name__.endswith("Config")
                      for value in vars(config).values()),
        "layer_types": [str(kind) for kind in _of(text, "layer_types") or ()],
        "sizes": {key: value for key in SIZES
                  if isinstance(value := _of(text, key), int | float | str | bool)},
    }  # fmt: skip


def _floats(value: Any) -> Any:
    """``value`` with the numbers that JSON lacks, as transformers writes them, in place of their
    names."""
    if isinstance(value, dict):
        if set(value) == {"__float__"}:
            return float(value["__float__"])
        return {key: _floats(item) for key, item in value.items()}
    return [_floats(item) for item in value] if isinstance(value, list) else value


def _known(kind: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES


def _of(config: Any, key: str) -> Any:
    """An attribute of a configuration; those that vary by layer raise errors of their own."""
    try:
        return getattr(config, key, None)
    except Exception:
        return None


def class_of(values: dict[str, Any], config: Any, transformers: Any) -> Any:
    """The class that ``architectures`` names, where it takes this configuration, else the first of
    the type that does."""
    from transformers.models.auto import modeling_auto

    names: list[str] = []
    stated = values.get("architectures")
    if isinstance(stated, list) and stated and re.fullmatch(r"\w+", str(stated[0])):
        names.append(str(stated[0]))
    for mapping in MAPPINGS:
        class_names = getattr(modeling_auto, mapping, {}).get(values["model_type"], ())
        names += [class_names] if isinstance(class_names, str) else list(class_names)
    for name in names:
        cls: Any = getattr(transformers, name, None)
        if isinstance(getattr(cls, "config_class", None), type) and isinstance(
            config, cls.config_class
        ):
            return cls
    mapped = [name for name in names[bool(stated) :] if hasattr(transformers, name)]
    if mapped:  # classes that share another type's configuration
        return getattr(transformers, mapped[0])
    raise ValueError(f"transformers has no model class for {values['model_type']}")


def stack_of(model: Any, text: Any, torch: Any) -> Any:
    """The list of the decoder's layers: of those as long as the configuration says, the one of most
    parameters."""
    counts = [
        _of(text, key)
        for key in ("decoder_layers", "num_decoder_layers", "num_hidden_layers", "num_layers")
    ]
    for wanted in dict.fromkeys(filter(None, counts)):
        for root in (_decoder(model), model):
            lists = [item for item in root.modules()
                     if isinstance(item, torch.nn.ModuleList) and len(item) == wanted]  # fmt: skip
            if lists:
                return max(lists, key=lambda item: sum(p.numel() for p in item.parameters()))
    return None


def _decoder(model: Any) -> Any:
    try:
        return model.get_decoder() or model
    except Exception:
        return model


def _or_none(method: Any) -> Any:
    try:
        return method()
    except Exception:
        return None


def causal(stack: Any) -> bool:
    """Whether some attention of the layers looks back alone, or none says how it looks."""
    said = {
        module.is_causal
        for module in (stack.modules() if stack is not None else ())
        if isinstance(getattr(module, "is_causal", None), bool)
    }
    return not said or True in said


def shared(stack: Any) -> bool:
    """Whether layers share weights with each other."""
    if stack is None:
        return False
    layers: dict[int, set[int]] = {}
    for number, layer in enumerate(stack):
        for tensor in layer.parameters():
            layers.setdefault(id(tensor), set()).add(number)
    return any(len(of) > 1 for of in layers.values())


def tensors_of(model: Any, stack: Any) -> Iterator[dict[str, Any]]:
    """Every tensor of a checkpoint by the names that releases have, place by place: [name, shape,
    type, class of its module, whether it is a buffer].

    Tensors of the same place (region, classes of the modules above it) are renamed together, since
    transformers keeps some as one that releases store apart.
    """
    owners = dict(model.named_modules())
    paths = {id(module): name for name, module in owners.items()}
    top = "" if stack is None else paths[id(stack)] + "."
    decoder = top.removesuffix(".").rpartition(".")[0]
    regions = {
        id(getattr(module, "weight", None)): region
        for region, module in (
            ("head", _or_none(model.get_output_embeddings)),
            ("embedding", _or_none(model.get_input_embeddings)),
        )
        if module is not None
    }
    parameters = dict(model.named_parameters(remove_duplicate=False))
    first: dict[int, str] = {}
    places: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if first.setdefault(id(tensor), name) != name:
            continue
        above = name.split(".")[:-1]
        region = regions.get(id(tensor)) or (
            "stack"
            if top and name.startswith(top)
            else "decoder"
            if not decoder or name.startswith(decoder + ".")
            else "tower"
        )
        skipped = top.count(".") + 1 if region == "stack" else 0
        chain = [".".join(above[:n]) for n in range(skipped + 1, len(above))]
        classes = tuple(type(owners[path]).__name__ for path in chain if path in owners)
        places.setdefault((region, *classes), {})[name] = tensor
    rename = _renaming(model)
    for (region, *blocks), place in places.items():
        yield {"region": region, "blocks": blocks, "tensors": [
            [name, list(tensor.shape), str(tensor.dtype).removeprefix("torch."),
             type(owners.get(name.rpartition(".")[0])).__name__ if name in place else "",
             name in place and name not in parameters]
            for name, tensor in rename(place).items()]}  # fmt: skip


def _renaming(model: Any) -> Any:
    """How tensors of the model are renamed and cut when they are saved."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import PrefixChange, revert_weight_conversion

    model._weight_conversions = [
        rule
        for rule in get_model_conversion_mapping(model, add_legacy=False) or ()
        if not isinstance(rule, PrefixChange)
    ] or None
    if model._weight_conversions is None:
        return lambda tensors: tensors
    return lambda tensors: revert_weight_conversion(model, dict(tensors))


def caches_of(model: Any, text: Any, torch: Any, transformers: Any) -> tuple[list[Any], str]:
    """What the layers keep after a prompt run on the meta device: (a record each, why it did not
    run). Layers that keep nothing of their own are not listed."""
    try:
        cache = transformers.DynamicCache(config=text)
    except Exception as error:
        return [], f"{type(error).__name__}: {error}"[:200]
    for module in model.modules():
        if type(module).__name__.endswith("Experts"):  # which expert a token takes is data
            module.forward = lambda hidden, *rest, **named: hidden
    ids = torch.zeros((1, TOKENS), dtype=torch.long, device="meta")
    why = ""
    for root in dict.fromkeys((_decoder(model), model)):
        takes = inspect.signature(root.forward).parameters
        name = next((cache_name for cache_name in _CACHES if cache_name in takes), _CACHES[0])
        try:
            with torch.no_grad():
                root(input_ids=ids, use_cache=True, **{name: cache}, **_encoded(text, torch))
            if not any(
                len(_cache_shapes(item)) > 1 + ("window" in _cache_shapes(item))
                for item in cache.layers
            ):
                raise ValueError("the run filled no cache")
            return [_cache_shapes(item) for item in cache.layers], ""
        except Exception as error:
            why = why or f"{type(error).__name__}: {error}"[:200]
            cache = transformers.DynamicCache(config=text)
    return [_cache_shapes(item) for item in cache.layers], why


def _encoded(text: Any, torch: Any) -> dict[str, Any]:
    if not _of(text, "is_encoder_decoder"):
        return {}
    width = _of(text, "hidden_size") or 1
    return {
        "encoder_hidden_states": torch.zeros(
            (1, TOKENS, width), device="meta", dtype=torch.get_default_dtype()
        )
    }


def _cache_shapes(item: Any) -> dict[str, Any]:
    shapes: dict[str, Any] = {"class": type(item).__name__}
    if getattr(item, "sliding_window", None):
        shapes["window"] = item.sliding_window
    for key in ("keys", "values", "indexer_keys", "idx_keys"):  # MiniMax-M3's name of the third
        tensor = getattr(item, key, None)
        if tensor is not None:
            shapes[key.replace("idx_", "indexer_")] = list(tensor.shape)
    for key in ("conv_states", "recurrent_states"):
        for tensor in (getattr(item, key, None) or {}).values():
            if tensor is not None:
                shape_and_type = [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
                shapes.setdefault(key, []).append(shape_and_type)
    return shapes


if __name__ == "__main__":
    main()
