"""A server on several nodes: what each node runs, with its rank and the first node's address.

Sources: vLLM documentation, Parallelism and Scaling (multiprocessing) and Data Parallel Deployment;
SGLang documentation, Multi-Node Deployment, and 0.5.23 srt/entrypoints/engine.py (ranks of a node);
TensorRT-LLM documentation, trtllm-serve, Multi-node Serving; ggml-org/llama.cpp tools/rpc.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.records import record
from planner.base.versions import Version
from planner.memory.engines.catalog import Engine
from planner.messages.message import Text, message
from planner.placement.layout import Layout

NODE = "NODE"
"""With its number (``NODE0``), stands for the address of a node."""
NATIVE_NODES = Version("0.12")
"""vLLM's first version whose own processes span nodes; before it was Ray's work."""
INIT_PORT, RPC_PORT, GGML_PORT, RAY_PORT = "20000", "13345", "50052", "6379"


@record
class NodeCommand:
    """``words`` that node ``node`` runs, in the order of a list of these."""

    node: int
    words: tuple[str, ...]


def address(node: int) -> str:
    """What stands for the address of a node."""
    return f"{NODE}{node}"


def node_count(layout: Layout, devices_per_node: int) -> int:
    """The fewest nodes that hold one replica."""
    return -(-layout.ranks // max(1, devices_per_node))


def node_commands(
    engine: Engine, words: Sequence[str], layout: Layout, nodes: int
) -> tuple[tuple[NodeCommand, ...], list[Text]]:
    """(what each node runs, what they cannot say) of one replica whose command on a single node is
    ``words``; none where the engine cannot be spread so by flags."""
    reason = _uneven(engine, layout, nodes)
    if reason:
        return (), reason
    if engine.name == "tensorrt-llm":
        hosts = ",".join(f"{address(i)}:{layout.ranks // nodes}" for i in range(nodes))
        started = ["mpirun", "-n", str(layout.ranks), "-H", hosts, "trtllm-llmapi-launch", *words]
        more = ["--gpus_per_node", str(layout.ranks // nodes)]
        return (NodeCommand(0, (*started, *more)),), []
    if engine.name == "llama.cpp":
        others = [address(i) for i in range(1, nodes)]
        serving = ("rpc-server", "--host", "0.0.0.0", "--port", GGML_PORT)
        servers = ",".join(f"{host}:{GGML_PORT}" for host in others)
        return (
            *(NodeCommand(i, serving) for i in range(1, nodes)),
            NodeCommand(0, (*words, "--rpc", servers)),
        ), [message("reasons.rpc_server_of_a_build")]
    if engine.name == "vllm" and (engine.version < NATIVE_NODES or _rank_over_nodes(layout, nodes)):
        return _through_ray(words, layout, nodes), []
    return tuple(
        NodeCommand(i, tuple(of_node(engine, words, layout, nodes, str(i), address(0))))
        for i in range(nodes)
    ), []


def of_node(
    engine: Engine,
    words: Sequence[str],
    layout: Layout,
    nodes: int,
    node: str,
    head: str,
    first_rank: str = "",
) -> list[str]:
    """The command of node ``node`` (its number, or what stands for it) of vLLM or SGLang; ``head``
    is the first node's address, ``first_rank`` the first attention rank of the node where
    ``node`` is no number."""
    if engine.name == "sglang":
        return [*words, "--nnodes", str(nodes), "--node-rank", node,
                "--dist-init-addr", f"{head}:{INIT_PORT}"]  # fmt: skip
    rest = [] if node == "0" else ["--headless"]
    if layout.dp == 1:
        span = ["--nnodes", str(nodes), "--node-rank", node, "--master-addr", head]
        return [*words, *span, *rest]
    local = layout.dp // nodes
    span = ["--data-parallel-size-local", str(local), "--data-parallel-address", head,
            "--data-parallel-rpc-port", RPC_PORT]  # fmt: skip
    if node != "0":
        rank = first_rank or str(int(node) * local)
        rest += ["--data-parallel-start-rank", rank]
    return [*words, *span, *rest]


def _rank_over_nodes(layout: Layout, nodes: int) -> bool:
    """Whether attention ranks of vLLM do not divide over the nodes."""
    return layout.dp > 1 and layout.dp % nodes != 0


def _uneven(engine: Engine, layout: Layout, nodes: int) -> list[Text]:
    """Why the ranks cannot be spread over the nodes; empty where they can."""
    uneven = layout.ranks % nodes
    if engine.name == "sglang":
        uneven = uneven or (layout.pp % nodes and nodes % layout.pp)
    if uneven:
        return [message("reasons.ranks_do_not_divide_over_nodes", ranks=layout.ranks, nodes=nodes)]
    return []


def _through_ray(words: Sequence[str], layout: Layout, nodes: int) -> tuple[NodeCommand, ...]:
    """Nodes joined by Ray first; the server then starts on the first of them."""
    join = ("ray", "start", f"--address={address(0)}:{RAY_PORT}")
    back_end = ["--distributed-executor-backend", "ray"]
    if layout.dp > 1:
        back_end += ["--data-parallel-backend", "ray"]
    return (
        NodeCommand(0, ("ray", "start", "--head", f"--port={RAY_PORT}")),
        *(NodeCommand(i, join) for i in range(1, nodes)),
        NodeCommand(0, (*words, *back_end)),
    )
