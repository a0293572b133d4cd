"""Streams and what was served of them, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.served import ServedRequests


def stream_of(came: list[float], isl: int = 100, osl: int = 5) -> RequestStream:
    """Requests of one length that came at these times [s]."""
    every = np.ones(len(came), dtype=np.int64)
    return plain_stream(np.array(came), every * isl, every * osl)


def served_of(**given: Any) -> ServedRequests:
    """What was served, by the fields that are given; nothing of the others."""
    requests = len(given["first_seconds"])
    passes = len(given.get("start_seconds", []))
    count = {"preempted": 0, "hit_tokens": 0}
    fields: dict[str, Any] = {}
    for name in ServedRequests.__dataclass_fields__:  # type: ignore[attr-defined]
        if name in ("complete", "folded"):
            fields[name] = True if name == "complete" else None
            continue
        of_passes = name in (
            ["start_seconds", "pass_seconds", "decoding", "prompt_tokens", "cache_share", "waiting"]
        )
        blank = (
            np.full(requests, 5.0)
            if name == "made_tokens"
            else np.zeros(passes if of_passes else requests)
        )
        value = given.get(name, blank)
        whole = name in ("decoding", "prompt_tokens", "waiting", "made_tokens", *count)
        kind = bool if name == "rejected" else np.int64 if whole else np.float64
        fields[name] = np.asarray(value, dtype=kind)
    return ServedRequests(**fields)
