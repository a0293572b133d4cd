"""Kernels of fused expert layers by the names that tables give them, and shapes without a gate."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).resolve().parent / "data"


@cache
def kernel_id(name: str, stack: str) -> str:
    """The short id of a table's kernel ``name``: without the stack, the class that wraps it and
    how an activation was replaced (data/moe_kernels.toml)."""
    text = name.lower().replace("_", "-").removeprefix(f"{stack}-")
    for ending in _data()["endings"]:
        text = text.removesuffix(ending)
    if stack == "vllm":
        for rule in _data()["kernel"]:
            if re.fullmatch(rule["name"], text):
                return str(rule["id"])
    return text


@cache
def plain_shapes(stack: str, version: tuple[int, ...]) -> frozenset[tuple[int, ...]]:
    """(hidden, width, experts a token, experts) of experts that this version of a stack was
    measured with two matrices of."""
    since = _data()["plain_since"].get(stack)
    if since is None or version < tuple(since):
        return frozenset()
    return frozenset(tuple(one["shape"]) for one in _data()["plain"])


@cache
def _data() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "moe_kernels.toml").read_text(encoding="utf-8"))
