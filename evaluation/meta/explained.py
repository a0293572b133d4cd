"""Why a type's tensors differ between this program and transformers, each reason with the tensors
that it predicts from the configuration: what is counted must differ by exactly those.

A reason that holds for a configuration says which tensors only transformers has and which only
this program has. The differences are explained where both counts are the same after that, shape by
shape; nothing is explained by a name alone but the speakers named as not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

Config = Mapping[str, Any]
Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Tensors = Counter[Shape]
Predicted = tuple[Tensors, Tensors]
"""Shapes that only transformers has, and that only this program has."""


@dataclass(frozen=True, slots=True)
class Reason:
    """``predicts`` takes the configuration of the text model, that around it and transformers'
    shapes, and gives empty counts where the reason does not hold for them."""

    text: str
    predicts: Callable[[Config, Config, Shapes], Predicted]


@dataclass(frozen=True, slots=True)
class Explained:
    """``reasons`` that hold together, and the tensors and elements that they predict: ``there`` in
    transformers alone, ``here`` in this program alone."""

    reasons: tuple[str, ...]
    there: tuple[int, int]
    here: tuple[int, int]


def explained(kind: str, config: Config, own: Shapes, meta: Shapes) -> Explained | None:
    """The fewest of the type's reasons that predict the whole difference, None where none do."""
    text = text_of(config)
    found = [(one, one.predicts(text, config, meta)) for one in REASONS.get(kind, ())]
    found = [(one, ledger) for one, ledger in found if any(ledger)]
    for count in range(1, len(found) + 1):
        for some in combinations(found, count):
            there: Tensors = Counter()
            here: Tensors = Counter()
            for _, (first, second) in some:
                there, here = there + first, here + second
            if Counter(own.values()) + there == Counter(meta.values()) + here:
                return Explained(tuple(one.text for one, _ in some), _size(there), _size(here))
    return None


def text_of(config: Config) -> Config:
    """The configuration of the text model inside ``config``, which may be itself."""
    for name in ("thinker_config", "text_config"):
        inner = config.get(name)
        if isinstance(inner, Mapping):
            config = inner
    return config


def _size(tensors: Tensors) -> tuple[int, int]:
    return tensors.total(), sum(prod(shape) * count for shape, count in tensors.items())


def _head(text: Config) -> Tensors:
    return Counter({(text["vocab_size"], text["hidden_size"]): 1})


def _untied(text: Config, config: Config, _: Shapes) -> Predicted:
    tied = text.get("tie_word_embeddings") or config.get("tie_word_embeddings")
    return (_head(text) if tied else Counter()), Counter()


def _silently_tied(text: Config, config: Config, _: Shapes) -> Predicted:
    silent = "tie_word_embeddings" not in config and not text.get("tie_word_embeddings")
    return Counter(), (_head(text) if silent else Counter())


def _bare(text: Config, _: Config, meta: Shapes) -> Predicted:
    head = "lm_head.weight" not in meta and not text.get("tie_word_embeddings")
    return Counter(), (_head(text) if head else Counter())


def _borrowed(text: Config, _: Config, __: Shapes) -> Predicted:
    width, count = text["head_dim"], text.get("num_kv_shared_layers") or 0
    matrix = (text["num_key_value_heads"] * width, text["hidden_size"])
    return Counter(), +Counter({matrix: 2 * count, (width,): count})


def _idle(text: Config, _: Config, __: Shapes) -> Predicted:
    many = text["num_layers"] * (text.get("zero_expert_num") or 0)
    return +Counter({(text["expert_ffn_hidden_size"], text["hidden_size"]): 2 * many}), Counter()


def _stacks(text: Config, layers: int) -> Predicted:
    """(``layers`` stacked, the same one by one)."""
    count = text.get("num_experts") or text.get("num_local_experts") or text["n_routed_experts"]
    width = text.get("moe_intermediate_size") or text["intermediate_size"]
    hidden = text["hidden_size"]
    stacked = Counter({(count, 2 * width, hidden): layers})
    stacked[count, hidden, width] += layers
    single = Counter({(width, hidden): 2 * count * layers})
    single[hidden, width] += count * layers
    return stacked, single


def _one_by_one_there(text: Config, _: Config, __: Shapes) -> Predicted:
    stacked, single = _stacks(text, text["num_hidden_layers"])
    return single, stacked


def _unconverted(text: Config, _: Config, __: Shapes) -> Predicted:
    layers = sum(kind == "sparse" for kind in text.get("mlp_layer_types") or ())
    stacked, single = _stacks(text, layers)
    shared, hidden = text["shared_intermediate_size"], text["hidden_size"]
    stacked[2 * shared, hidden] += layers
    single[shared, hidden] += 2 * layers
    return +stacked, +single


def _turned(text: Config, _: Config, __: Shapes) -> Predicted:
    stacked, _ = _stacks(text, text["num_hidden_layers"])
    return stacked, Counter({(a, c, b): count for (a, b, c), count in stacked.items()})


def _named(*prefixes: str) -> Callable[[Config, Config, Shapes], Predicted]:
    """Everything whose name begins with one of ``prefixes``."""
    return lambda text, config, meta: (
        Counter(shape for name, shape in meta.items() if name.startswith(prefixes)),
        Counter(),
    )


_UNTIED = Reason("its class never ties embeddings, whatever the configuration says; no release "
                 "ties them: a head more there", _untied)  # fmt: skip
_BORROWED = Reason(
    "releases store keys' and values' projections and a norm of the layers that "
    "borrow caches, transformers drops them on loading",
    _borrowed,
)
_TALKER = Reason(
    "the parts that speak, named as not counted here", _named("talker.", "token2wav.", "code2wav.")
)
_TURNED = Reason(
    "releases store experts as (experts, inputs, outputs): transformers' conversion "
    "mapping turns axes 1 and 2 on loading, and does not turn them back here",
    _turned,
)

REASONS: dict[str, tuple[Reason, ...]] = {
    "bailing_hybrid": (_UNTIED,), "kimi_linear": (_UNTIED,), "nemotron_h": (_UNTIED,),
    "gemma3n": (_BORROWED,), "gemma3n_text": (_BORROWED,),
    **dict.fromkeys(("glm5_next_text", "qwen2_5_vl_text", "qwen2_vl_text", "qwen3_vl_text"), (
        Reason("transformers has the model without its head alone", _bare),)),
    "longcat_flash": (Reason("its class allocates gates and ups of experts that do nothing "
                             "(zero_expert_num), which nothing reads", _idle),),
    "minimax_m3_vl_text": (Reason(
        "transformers has a conversion to the release's experts, one by one, for the type "
        "with an encoder alone", _unconverted),),
    "mistral3": (Reason("its class ties where the whole configuration is silent; releases store "
                        "the head", _silently_tied),),
    **dict.fromkeys(("qwen3_5_moe", "qwen3_5_moe_text"), (
        Reason("releases store a layer's experts in two tensors; transformers' conversion gives "
               "back each by itself", _one_by_one_there),)),
    "qwen3_vl_moe": (_TURNED,),
    "qwen2_5_omni": (_TALKER,), "qwen3_omni_moe": (_TALKER,),
}  # fmt: skip


def explained_window(kind: str, config: Config, own: int, kept: int) -> str:
    """Why the window of a layer's cache is ``kept`` in transformers and ``own`` here, "" where
    nothing says so."""
    stated = text_of(config).get("sliding_window_size")
    if kind == "mimo_v2_flash" and (own, kept) == (stated, (stated or 0) + 1):
        return (
            "transformers adds the token itself to sliding_window_size, as SGLang does; vLLM "
            "counts it among them"
        )
    return ""
