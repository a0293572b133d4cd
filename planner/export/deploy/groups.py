"""A worker on several nodes: what its first node runs, and what the others run.

Sources: vLLM documentation, Parallelism and Scaling (multiprocessing) and Data Parallel Deployment;
SGLang documentation, Multi-Node Deployment; variables of a LeaderWorkerSet's containers.
"""

from __future__ import annotations

import shlex

from planner.base.errors import UnsupportedError
from planner.export.deploy.roles import ServerRole
from planner.memory.engines.catalog import Engine

_LEADER, _INDEX = "LWS_LEADER_ADDRESS", "LWS_WORKER_INDEX"
_NATIVE_NODES = (0, 12)
"""vLLM's first version whose own processes span nodes; before it was Ray's work."""
_RPC_PORT, _INIT_PORT = "13345", "20000"


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
    if engine.name == "sglang":
        span = [
            "--nnodes",
            str(role.nodes),
            "--node-rank",
            f"$({_INDEX})",
            "--dist-init-addr",
            f"$({_LEADER}):{_INIT_PORT}",
        ]
        return [*served, *span], [*served, *span]
    if engine.name != "vllm":
        raise UnsupportedError(
            f"{engine.label}: a replica over {role.nodes} nodes needs a launcher (MPI) beside it",
            hint=f"give --tp, --dp and --pp of {role.devices_per_node} devices at most, or "
            "--engine vllm" + ("; or --deploy dynamo" if engine.name == "tensorrt-llm" else ""),
        )
    if engine.version < _NATIVE_NODES:
        raise UnsupportedError(
            f"{engine.label} spans nodes by Ray alone, which is not written",
            hint="make the plan for --engine vllm@0.12 or newer, or sglang",
        )
    return (
        _data_parallel(role, served, words)
        if role.data_parallel > 1
        else ([*served, *_span(role, "0")], [*words, *_span(role, f"$({_INDEX})"), "--headless"])
    )


def _span(role: ServerRole, rank: str) -> list[str]:
    return ["--nnodes", str(role.nodes), "--node-rank", rank, "--master-addr", f"$({_LEADER})"]


def _data_parallel(
    role: ServerRole,
    served: list[str],
    words: tuple[str, ...],
) -> tuple[list[str], list[str]]:
    """Ranks of attention spread over the nodes; a node's first rank is computed by its shell."""
    local, rest = divmod(role.data_parallel, role.nodes)
    if rest:
        raise UnsupportedError(
            f"vllm: dp {role.data_parallel} does not spread over {role.nodes} nodes",
            hint=f"give a --dp that is a multiple of {role.nodes}, or --dp 1",
        )
    spread = [
        "--data-parallel-size-local",
        str(local),
        "--data-parallel-address",
        f"$({_LEADER})",
        "--data-parallel-rpc-port",
        _RPC_PORT,
    ]
    text = " ".join(
        word.replace(f"$({_LEADER})", f'"${{{_LEADER}}}"') if _LEADER in word else shlex.quote(word)
        for word in (*words, *spread, "--headless")
    )
    shell = f'exec {text} --data-parallel-start-rank "$(({_INDEX} * {local}))"'
    return [*served, *spread], ["sh", "-c", shell]
