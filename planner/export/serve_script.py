"""``serve-ENGINE.sh``: the command of a server as a script, one for all nodes of a replica.

Its first argument is another checkpoint, or the one to be made. Where a replica has several nodes,
the second is the node that it runs on, and the following are the addresses that the commands name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from planner.export.nodes import NODE, NodeCommand
from planner.export.serve_line import GGUF, MODEL, WeightsOfPlan
from planner.export.trtllm import OPTIONS

_NEEDED = "?checkpoint"
_ADDRESS = re.compile(NODE + r"(\d+)")


def script(words: Sequence[str], nodes: Sequence[NodeCommand], weights: WeightsOfPlan) -> str:
    """The script of ``words``, or of what each of ``nodes`` runs."""
    made = weights.made in ("new", "given") or weights.place in (GGUF, MODEL)
    first = _NEEDED if made else f"-{shlex.quote(weights.place)}"
    head = f"#!/bin/sh\nset -eu\ncheckpoint=${{1:{first}}}\n"
    if not nodes:
        return f"{head}exec {_line(words, weights)}\n"
    return head + _for_nodes(nodes, weights)


def takes_checkpoint(text: str) -> bool:
    """Whether a script of :func:`script` does not start without its first argument."""
    return f"checkpoint=${{1:{_NEEDED}}}" in text


def _for_nodes(nodes: Sequence[NodeCommand], weights: WeightsOfPlan) -> str:
    """What follows the checkpoint: the node's number, the addresses, and each node's commands."""
    numbers = sorted({node.node for node in nodes})
    named = sorted(
        {int(n) for node in nodes for word in node.words for n in _ADDRESS.findall(word)}
    )
    lines = [f"node=${{2:?number of this node, 0 to {numbers[-1]}}}"] if len(numbers) > 1 else []
    lines += [
        f"node{n}=${{{at}:?address of node {n}}}" for at, n in enumerate(named, 2 + len(lines))
    ]
    if len(numbers) == 1:
        return "\n".join([*lines, *_run([node.words for node in nodes], weights)]) + "\n"
    lines.append("case $node in")
    for number in numbers:
        own = _run([node.words for node in nodes if node.node == number], weights)
        lines += [f"{number})", *(f"    {text}" for text in own), "    ;;"]
    lines += ["*)", '    echo "error: there is no node $node" >&2', "    exit 2", "    ;;", "esac"]
    return "\n".join(lines) + "\n"


def _run(commands: Sequence[Sequence[str]], weights: WeightsOfPlan) -> list[str]:
    """Commands one after the other; the shell becomes the last."""
    *before, last = [_line(words, weights) for words in commands]
    return [*before, f"exec {last}"]


def _line(words: Sequence[str], weights: WeightsOfPlan) -> str:
    return " ".join(_word(word, weights) for word in words)


def _word(word: str, weights: WeightsOfPlan) -> str:
    """A word in the script: the checkpoint, the options beside the script and addresses are the
    script's own variables, everything else is quoted."""
    if word == weights.place:
        return '"$checkpoint"'
    if word == OPTIONS:
        return f'"$(dirname -- "$0")/{OPTIONS}"'
    parts = _ADDRESS.split(word)
    if len(parts) == 1:
        return shlex.quote(word)
    return "".join(
        f'"$node{part}"' if at % 2 else (shlex.quote(part) if part else "")
        for at, part in enumerate(parts)
    )
