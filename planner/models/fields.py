"""Typed reads of a model configuration: what is not understood is an error that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planner.errors import LONGEST_NAME, DataError
from planner.models.strict_json import shown

MAX_LAYERS = 1000
MAX_EXPERTS = 65536
MAX_WIDTH = 2**24
MAX_CONTEXT = 2**31
MOST_LISTED, FEW_LISTED = 20, 8

# Keys that change neither the tensors nor the cache.
HARMLESS = frozenset({
    "_name_or_path", "architectures", "attention_dropout", "attn_implementation", "auto_map",
    "bos_token_id", "eos_token_id", "hidden_act", "initializer_range", "output_router_logits",
    "pad_token_id", "pretraining_tp", "rms_norm_eps", "rope_parameters", "rope_scaling",
    "rope_theta", "router_aux_loss_coef", "transformers_version", "unsloth_fixed",
    "unsloth_version", "use_cache",
})  # fmt: skip
# Settings of generation and of the library that wrote the file, in every nested configuration.
GENERIC = HARMLESS | {
    "add_cross_attention", "bad_words_ids", "begin_suppress_tokens", "chunk_size_feed_forward",
    "cross_attention_hidden_size", "decoder_start_token_id", "diversity_penalty", "do_sample",
    "early_stopping", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty",
    "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "id2label", "is_decoder",
    "is_encoder_decoder", "label2id", "length_penalty", "max_length", "min_length", "model_type",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences",
    "output_attentions", "output_hidden_states", "output_scores", "prefix", "problem_type",
    "remove_invalid_values", "repetition_penalty", "return_dict", "return_dict_in_generate",
    "sep_token_id", "suppress_tokens", "task_specific_params", "temperature",
    "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p", "torchscript",
    "typical_p", "use_bfloat16",
}  # fmt: skip


def _listed(known: list[str], value: object) -> str:
    """The names that are understood; of more than MOST_LISTED those near ``value``, else the first
    few."""
    if len(known) <= MOST_LISTED:
        return ", ".join(known)
    from difflib import get_close_matches

    near = get_close_matches(value[:LONGEST_NAME].lower(), known, n=FEW_LISTED, cutoff=0.5) \
        if isinstance(value, str) else []
    some = near or known[:FEW_LISTED]
    return f"{', '.join(some)} and {len(known) - len(some)} more"


class Fields:
    """One JSON object read key by key; ``finish`` reports the keys that nobody read.

    Every reader raises DataError for a value of the wrong type or out of range.
    """

    def __init__(self, values: Mapping[str, object], place: str) -> None:
        self._values = values
        self._read: set[str] = set()
        self.place = place

    def take(self, name: str) -> object:
        """The raw value of key ``name``, None where it is absent; the key counts as read."""
        self._read.add(name)
        return self._values.get(name)

    def names(self) -> tuple[str, ...]:
        """The keys, in the order of the file."""
        return tuple(self._values)

    def everything(self) -> Mapping[str, object]:
        """The whole object as it was given; every key counts as read."""
        self._read.update(self._values)
        return self._values

    def inherit(self, outer: Fields, name: str) -> None:
        """Take key ``name`` from ``outer`` where it is absent here.

        Raises:
            DataError: both have it, with different values.
        """
        value = outer.take(name)
        if value is None:
            return
        own = self._values.get(name)
        if own is not None and own != value:
            raise self.error(name, f"is {shown(own)}, and {shown(value)} outside")
        self._values = {**self._values, name: value}

    def error(self, name: str, reason: str) -> DataError:
        """A DataError about key ``name``."""
        return DataError(f"{self.place}: {name} {reason}",
                         hint="compare the key with the configuration of the release: of a bundled "
                              "model it is in planner/models/configs")

    def optional_integer(self, name: str, *, low: int = 1, high: int = MAX_WIDTH) -> int | None:
        """An integer in [low, high], or None where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, f"is {shown(value)}; an integer is needed")
        if not low <= value <= high:
            raise self.error(name, f"is {shown(value)}; the range is {low} to {high}")
        return value

    def integer(
        self, name: str, *, low: int = 1, high: int = MAX_WIDTH, default: int | None = None
    ) -> int:
        """An integer in [low, high]; without ``default`` it must be present."""
        value = self.optional_integer(name, low=low, high=high)
        if value is None:
            value = default
        if value is None:
            raise self.error(name, "is missing")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        """A boolean, or ``default`` where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(name, f"is {shown(value)}; true or false is needed")
        return value

    def choice(self, name: str, options: Iterable[str], *, default: str | None) -> str:
        """One of ``options``; without ``default`` it must be present."""
        value = self.take(name)
        if value is None and default is not None:
            return default
        known = sorted(options)
        if not isinstance(value, str) or value not in known:
            stated = "is missing" if value is None else f"is {shown(value)}"
            raise self.error(name, f"{stated}; understood: {_listed(known, value)}")
        return value

    def integers(self, name: str, *, low: int, high: int) -> tuple[int, ...]:
        """A list of integers in [low, high]; empty where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.error(name, f"is {shown(value)}; a list of integers is needed")
        for item in value:
            if isinstance(item, bool) or not isinstance(item, int) or not low <= item <= high:
                raise self.error(name, f"holds {shown(item)}; the range is {low} to {high}")
        return tuple(value)

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(name, f"is {shown(value)}; a list of strings is needed")
        return tuple(value)

    def nested(self, name: str) -> Fields | None:
        """The object under ``name``, or None where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(name, f"is {shown(value)}; an object is needed")
        return Fields(value, f"{self.place}: {name}")

    def finish(self, harmless: frozenset[str] = frozenset()) -> None:
        """Check that every key was read or is harmless.

        Raises:
            DataError: naming the keys that are not understood.
        """
        unknown = sorted(set(self._values) - self._read - harmless)
        if unknown:
            names = ", ".join(shown(name) for name in unknown[:5])
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise DataError(
                f"{self.place}: keys not understood: {names}{more}",
                hint="a key that changes the structure must be modelled before it can be planned",
            )
