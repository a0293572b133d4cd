"""Engines that rotate heads before they quantise them into the cache: ``cache_rotations.csv``.

A Hadamard rotation of queries and keys leaves their products as they are and spreads the channels
that hold most of a key, so that a block's scale is made for none of them alone; values are rotated
and the output is rotated back (ggml-org/llama.cpp#21038, QuaRot: arXiv 2404.00456). Heads whose
width is no ``multiple`` stay as they are. Latents are left out: they have no such channels, and
what was published of rotated ones is no better (ml-explore/mlx-lm#1555).
"""

from __future__ import annotations

import csv
import re
from functools import cache

from planner.base.records import record
from planner.formats.kv import GGML_CACHES
from planner.models.spec import Attention
from planner.planning.engines.rules import DATA, RuleSource, sources

ROTATED_KINDS = ("kv-k", "kv-v")
_BUILD = re.compile(r"b?(\d+)")


@record
class CacheRotation:
    """Rotated by ``engine`` from build ``since_build``: heads of a ``multiple`` of channels."""

    engine: str
    since_build: int
    multiple: int
    source: RuleSource


def rotates(engine: str, version: str, layout: str, attention: Attention, kind: str) -> bool:
    """Whether ``engine`` rotates the entries of ``kind`` that it keeps in ``layout``. A ``version``
    that is no build number is the newest one."""
    if layout not in GGML_CACHES or kind not in ROTATED_KINDS:
        return False
    width = attention.head_dim if kind == "kv-k" else attention.value_dim or attention.head_dim
    build = _BUILD.fullmatch(version)
    return any(
        row.engine == engine
        and width % row.multiple == 0
        and (build is None or int(build[1]) >= row.since_build)
        for row in cache_rotations()
    )


@cache
def cache_rotations() -> tuple[CacheRotation, ...]:
    """The rows of the table (read once a process)."""
    known = sources()
    with (DATA / "cache_rotations.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            CacheRotation(
                row["engine"],
                int(row["since_build"]),
                int(row["multiple"]),
                known[row["source"]],
            )
            for row in csv.DictReader(file)
        )
