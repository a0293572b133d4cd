"""One configuration, counted by this program's family and by transformers: what differs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from evaluation.meta.explained import Explained, explained, explained_window
from planner.base.errors import PlannerError
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import expand
from planner.models.kv import LayerCache, cache_description
from planner.models.spec import ModelSpec

Shapes = dict[str, tuple[int, ...]]
Entry = tuple[Any, ...]
MOST_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Compared:
    """``tensors`` that both have alike (under other ``names``, of which the first), and what
    differs, in words; ``refused`` by this program, ``unbuilt`` by transformers, with the reason.
    ``why``: the reasons that predict the difference exactly. ``caches`` are the layers whose
    entries were compared, 0 where transformers did not run; ``cache_difference`` is the first that
    differs, ``cache_why`` the reason. ``digest`` is of this program's tensors."""

    tensors: int
    parameters: int
    differences: tuple[str, ...] = ()
    refused: str = ""
    unbuilt: str = ""
    caches: int = 0
    cache_difference: str = ""
    digest: str = ""
    names: tuple[str, ...] = ()
    why: Explained | None = None
    cache_why: str = ""

    @property
    def alike(self) -> bool:
        return not (self.differences or self.refused or self.unbuilt)

    @property
    def unexplained(self) -> bool:
        """Whether tensors or caches differ, or one side refuses, and nothing predicts it."""
        tensors = bool(self.differences) and self.why is None
        caches = bool(self.cache_difference) and not self.cache_why
        return tensors or caches or bool(self.refused)


def own_spec(config: Mapping[str, Any], place: str) -> ModelSpec:
    """The ModelSpec that this program's own family makes of ``config``, as plain elements."""
    return spec_from_bytes(
        json.dumps(config).encode(),
        place,
        model_id=place,
        public_name=place,
        source=place,
        source_kind="file",
    )


def own_shapes(spec: ModelSpec) -> Shapes:
    """Name → shape of every tensor, prediction layers aside: transformers leaves them out."""
    rows = tuple(
        replace(
            row,
            scale_name=None,
            stored_scale=None,
            extras=(),
            stored=row.stored if row.scheme is None else None,
        )
        for row in spec.rows
        if row.part != "mtp"
    )
    return {one.name: one.shape for one in expand(replace(spec, rows=rows))}


def meta_shapes(answer: Mapping[str, Any], *, towers: bool = True) -> Shapes:
    """The same of a worker's answer; without ``towers`` only the decoder and its ends."""
    return {
        name: tuple(shape)
        for place in answer["tensors"]
        if towers or place["region"] != "tower"
        for name, shape, *_ in place["tensors"]
    }


def digest(shapes: Shapes) -> str:
    """A digest of names and shapes, whatever their order."""
    text = "\n".join(f"{name} {'x'.join(map(str, shapes[name]))}" for name in sorted(shapes))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_shapes(own: Shapes, meta: Shapes) -> bool:
    """Whether both have as many tensors of each shape, whatever they are called."""
    return Counter(own.values()) == Counter(meta.values())


def differences(own: Shapes, meta: Shapes) -> tuple[str, ...]:
    """What only one has, and shapes that differ, a few of them."""
    found = [f"{name} is missing here" for name in sorted(meta.keys() - own.keys())]
    found += [f"{name} is not in transformers" for name in sorted(own.keys() - meta.keys())]
    found += [
        f"{name} is {own[name]}, {meta[name]} in transformers"
        for name in sorted(own.keys() & meta.keys())
        if own[name] != meta[name]
    ]
    more = [f"and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
    return (*found[:MOST_SHOWN], *more)


def cache_difference(
    config: Mapping[str, Any],
    caches: Iterable[LayerCache],
    kept: Sequence[Mapping[str, Any]],
    layers: int,
) -> tuple[str, str]:
    """The first layer whose entries differ from those that a run filled, "" where none does, and
    why. Where a layer attends several times, transformers counts each as a layer."""
    own: dict[int, list[LayerCache]] = {}
    times = max(1, len(kept) // layers)
    for cache in caches:
        row = own.setdefault(cache.layer * times, [])
        if times > 1 and row:
            row = own.setdefault(cache.layer * times + 1, [])
        row.append(cache)
    first = why = ""
    for layer, item in enumerate(kept):
        held = own.get(layer, [])
        mine, theirs = _own_entry(held), _kept_entry(item)
        if mine == theirs or _latent(held, item):
            continue
        text = f"layer {layer}: {mine} here, {theirs} in transformers"
        reason = _window_reason(config, mine, theirs)
        if not reason:
            return text, ""
        first, why = first or text, reason
    return first, why


def _window_reason(config: Mapping[str, Any], mine: Entry, theirs: Entry) -> str:
    """Why the windows of otherwise equal entries differ, "" where more does or nothing says so."""
    one, other = dict(mine[-1:]), dict(theirs[-1:])
    if mine[:-1] != theirs[:-1] or one.keys() != {"window"} or other.keys() != {"window"}:
        return ""
    return explained_window(str(config["model_type"]), config, one["window"], other["window"])


def _own_entry(caches: Iterable[LayerCache]) -> Entry:
    found: list[Any] = []
    for cache in caches:
        sizes = dict(cache.parts)
        if cache.kind == "kv":
            found += [("kv", cache.heads, sizes["k"], sizes["v"]), ("window", cache.window)]
        elif cache.kind == "state":
            found += [("state", sizes.get("state", 0)), ("conv", sizes.get("conv", 0))]
        else:
            found.append((cache.kind, sum(sizes.values())))
    return tuple(sorted(found, key=str))


def _kept_entry(item: Mapping[str, Any]) -> Entry:
    found: list[Any] = []
    if "keys" in item:
        found += [
            ("kv", item["keys"][1], item["keys"][3], item["values"][3]),
            ("window", item.get("window", 0)),
        ]
    if "recurrent_states" in item or "conv_states" in item:
        state = sum(prod(shape[1:]) for shape, _ in item.get("recurrent_states", ()))
        conv = sum(prod(shape[1:-1]) * (shape[-1] - 1) for shape, _ in item.get("conv_states", ()))
        found += [("state", state), ("conv", conv)]
    if "indexer_keys" in item:
        found.append(("indexer", item["indexer_keys"][-1]))
    return tuple(sorted(found, key=str))


def _latent(caches: Iterable[LayerCache], item: Mapping[str, Any]) -> bool:
    """Whether both keep a latent, which transformers splits or decompresses in ways of its own, or
    one vector that is key and value, which it keeps as both."""
    latent = [
        sum(dict(cache.parts).values()) for cache in caches if cache.kind in ("latent", "shared")
    ]
    if not latent or "keys" not in item:
        return False
    keys, values = item["keys"], item["values"]
    if keys == values and keys[1] == 1 and keys[3] == latent[0]:
        return True
    return keys[1] > 1 or keys[3] + values[3] == latent[0]


def compared(config: Mapping[str, Any], answer: Mapping[str, Any], place: str) -> Compared:
    """This program's count of ``config`` beside the worker's ``answer`` for it."""
    if "tensors" not in answer:
        return Compared(0, 0, unbuilt=str(answer.get("error") or "a type that it does not know"))
    meta = meta_shapes(answer, towers=not _without_towers(config))
    count = sum(map(prod, meta.values()))
    try:
        spec = own_spec(config, place)
    except PlannerError as error:
        return Compared(len(meta), count, refused=error.message)
    own = own_shapes(spec)
    found = differences(own, meta)
    renamed = bool(found) and same_shapes(own, meta)
    found = () if renamed else found
    kept = not (answer["not_run"] or spec.unplanned)
    apart, why = (
        ("", "")
        if not kept
        else cache_difference(config, cache_description(spec), answer["caches"], spec.layers)
    )
    return Compared(
        len(meta), count, differences=found, digest=digest(own),
        why=explained(str(config["model_type"]), config, own, meta) if found else None,
        names=differences(own, meta)[:1] if renamed else (),
        caches=len(answer["caches"]) if kept else 0,
        cache_difference=apart, cache_why=why)  # fmt: skip


def _without_towers(config: Mapping[str, Any]) -> bool:
    """Whether the configuration leaves out encoders that transformers builds from defaults, around
    a text model inside it or, as Step 3.7's release has it, beside its keys."""
    nests = "text_config" in config or config["model_type"] == "step3p7"
    return nests and not {"vision_config", "audio_config"} & config.keys()
