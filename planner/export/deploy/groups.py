"""A worker on several nodes: what its first node runs, and what the others run.

Sources: vLLM documentation, Parallelism and Scaling (multiprocessing) and Data Parallel Deployment;
SGLang documentation, Multi-Node Deployment; variables of a LeaderWorkerSet's containers.
"""

from __future__ import annotations

import shlex

from planner.base.errors import UnsupportedError
from planner.export.deploy.roles import ServerRole
from planner.export.nodes import NATIVE_NODES, of_node
from planner.export.serving_facts import layout_of
from planner.memory.engines.catalog import Engine

_LEADER, _INDEX = "LWS_LEADER_ADDRESS", "LWS_WORKER_INDEX"


def node_words(
    engine: Engine,
    role: ServerRole,
    words: tuple[str, ...],
    port: int,
) -> tuple[list[str], list[str]]:
    """(command of the first node, of the others), none for the latter on one node.

    Raises:
        UnsupportedError: the engine spans no nodes here, or not in this layout.
    """
    served = [*words, "--host", "0.0.0.0", "--port", str(port)]
    if role.nodes == 1:
        return served, []
    span = (layout_of(role.plan), role.nodes)
    if engine.name == "sglang":
        every = of_node(engine, served, *span, f"$({_INDEX})", f"$({_LEADER})")
        return every, every
    if engine.name != "vllm":
        raise UnsupportedError(
            f"{engine.label}: a replica over {role.nodes} nodes needs a launcher (MPI) beside it",
            hint=f"give --tp, --dp and --pp of {role.devices_per_node} devices at most, or "
            "--engine vllm" + ("; or --deploy dynamo" if engine.name == "tensorrt-llm" else ""),
        )
    if engine.version < NATIVE_NODES:
        raise UnsupportedError(
            f"{engine.label} spans nodes by Ray alone, which is not written",
            hint="make the plan for --engine vllm@0.12 or newer, or sglang",
        )
    local, rest = divmod(role.data_parallel, role.nodes)
    if role.data_parallel > 1 and rest:
        raise UnsupportedError(
            f"vllm: dp {role.data_parallel} does not spread over {role.nodes} nodes",
            hint=f"give a --dp that is a multiple of {role.nodes}, or --dp 1",
        )
    first = of_node(engine, served, *span, "0", f"$({_LEADER})")
    if role.data_parallel == 1:
        return first, of_node(engine, words, *span, f"$({_INDEX})", f"$({_LEADER})")
    # A node's first attention rank is computed by its shell.
    *rest_words, _, _ = of_node(engine, words, *span, f"$({_INDEX})", f"$({_LEADER})", "0")
    text = " ".join(
        word.replace(f"$({_LEADER})", f'"${{{_LEADER}}}"') if _LEADER in word else shlex.quote(word)
        for word in rest_words
    )
    shell = f'exec {text} --data-parallel-start-rank "$(({_INDEX} * {local}))"'
    return first, ["sh", "-c", shell]
