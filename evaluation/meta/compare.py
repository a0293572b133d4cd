"""One configuration, counted by this program's family and by transformers: what differs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from planner.errors import PlannerError
from planner.models.catalog import spec_from_bytes
from planner.models.inventory import expand
from planner.models.kv import LayerCache, cache_description
from planner.models.spec import ModelSpec

Shapes = dict[str, tuple[int, ...]]
MOST_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Compared:
    """``tensors`` that both have alike (under other ``names``, of which the first), and what
    differs, in words; ``refused`` by this program, ``unbuilt`` by transformers, with the reason.
    ``caches`` are the layers whose entries were compared, 0 where transformers did not run;
    ``cache_difference`` is the first that differs. ``digest`` is of this program's tensors."""

    tensors: int
    parameters: int
    differences: tuple[str, ...] = ()
    refused: str = ""
    unbuilt: str = ""
    caches: int = 0
    cache_difference: str = ""
    digest: str = ""
    names: tuple[str, ...] = ()

    @property
    def alike(self) -> bool:
        return not (self.differences or self.refused or self.unbuilt)


def own_spec(config: Mapping[str, Any], place: str) -> ModelSpec:
    """The ModelSpec that this program's own family makes of ``config``, as plain elements."""
    return spec_from_bytes(json.dumps(config).encode(), place, model_id=place, public_name=place,
                           source=place, source_kind="file")


def own_shapes(spec: ModelSpec) -> Shapes:
    """Name → shape of every tensor, prediction layers aside: transformers leaves them out."""
    rows = tuple(
        replace(row, scale_name=None, stored_scale=None, extras=(),
                stored=row.stored if row.scheme is None else None)
        for row in spec.rows if row.part != "mtp")
    return {one.name: one.shape for one in expand(replace(spec, rows=rows))}


def meta_shapes(answer: Mapping[str, Any], *, towers: bool = True) -> Shapes:
    """The same of a worker's answer; without ``towers`` only the decoder and its ends."""
    return {name: tuple(shape) for place in answer["tensors"]
            if towers or place["region"] != "tower" for name, shape, *_ in place["tensors"]}


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
    found += [f"{name} is {own[name]}, {meta[name]} in transformers"
              for name in sorted(own.keys() & meta.keys()) if own[name] != meta[name]]
    more = [f"and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
    return (*found[:MOST_SHOWN], *more)


def cache_difference(caches: Iterable[LayerCache], kept: Iterable[Mapping[str, Any]]) -> str:
    """The first layer whose entries differ from those that a run filled, "" where none does."""
    own: dict[int, list[LayerCache]] = {}
    for cache in caches:
        own.setdefault(cache.layer, []).append(cache)
    for layer, item in enumerate(kept):
        mine, theirs = _own_entry(own.get(layer, [])), _kept_entry(item)
        if mine != theirs and not _latent(own.get(layer, []), item):
            return f"layer {layer}: {mine} here, {theirs} in transformers"
    return ""


def _own_entry(caches: Iterable[LayerCache]) -> tuple[Any, ...]:
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


def _kept_entry(item: Mapping[str, Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    if "keys" in item:
        found += [("kv", item["keys"][1], item["keys"][3], item["values"][3]),
                  ("window", item.get("window", 0))]
    if "recurrent_states" in item or "conv_states" in item:
        state = sum(prod(shape[1:]) for shape, _ in item.get("recurrent_states", ()))
        conv = sum(prod(shape[1:-1]) * (shape[-1] - 1) for shape, _ in item.get("conv_states", ()))
        found += [("state", state), ("conv", conv)]
    if "indexer_keys" in item:
        found.append(("indexer", item["indexer_keys"][-1]))
    return tuple(sorted(found, key=str))


def _latent(caches: Iterable[LayerCache], item: Mapping[str, Any]) -> bool:
    """Whether both keep a latent, which transformers splits or decompresses in ways of its own."""
    latent = [sum(dict(cache.parts).values()) for cache in caches if cache.kind == "latent"]
    if not latent or "keys" not in item:
        return False
    keys, values = item["keys"], item["values"]
    return keys[1] > 1 or keys[3] + values[3] == latent[0]


def compared(config: Mapping[str, Any], answer: Mapping[str, Any], place: str) -> Compared:
    """This program's count of ``config`` beside the worker's ``answer`` for it."""
    if "tensors" not in answer:
        return Compared(0, 0, unbuilt=str(answer.get("error") or answer.get("unknown")))
    meta = meta_shapes(answer, towers=not _without_towers(config))
    count = sum(map(prod, meta.values()))
    try:
        spec = own_spec(config, place)
    except PlannerError as error:
        return Compared(len(meta), count, refused=error.message)
    ran, own = not answer["not_run"], own_shapes(spec)
    found = differences(own, meta)
    renamed = bool(found) and same_shapes(own, meta)
    return Compared(
        len(meta), count, differences=() if renamed else found, digest=digest(own),
        names=found[:1] if renamed else (),
        caches=len(answer["caches"]) if ran else 0, cache_difference=cache_difference(
            cache_description(spec), answer["caches"]) if ran else "")


def _without_towers(config: Mapping[str, Any]) -> bool:
    """Whether the configuration leaves out encoders that transformers builds from defaults."""
    return "text_config" in config and not {"vision_config", "audio_config"} & config.keys()
