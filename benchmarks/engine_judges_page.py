"""The page of what engines' own code said of plans and exports."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from benchmarks.engine_judges_reading import WEIGHT_ONLY, Judged

HEAD = """# Plans judged by an engine's own code

What vLLM {version} itself makes of the planner's commands and exports: each command goes through
the parser of `vllm serve` and `create_engine_config`, the model is built on the meta device from
the export's configuration, and every module is asked for its method, number formats, kernel and the
types of its parameters. Written by

```console
$ make engines
```

(`benchmarks/engine_judges.py`; vLLM's part runs in an environment of its own, on a stand-in of the
device that answers what a driver would: compute capability and memory.) Modules are compared under
vLLM's own names: q, k and v are one `qkv_proj`, gate and up one `gate_up_proj`, q_a and kv_a of
MLA one matrix, the experts of a layer one module. *matrices* are those of the checkpoint, *modules*
those that vLLM built, on one rank; the layout is judged by the parser alone. Plans are made with
`--engine vllm@0.32`; mixtures take their schemes by turns, layer by layer.

What this does not show: that the weights load and run (no kernel is called), what a CUDA build with
FlashInfer and DeepGEMM would choose (kernels below are those of an installation without), and what
other versions do.
"""


def page(results: Sequence[Judged], version: str) -> str:
    """The whole page as Markdown."""
    differing = sum(len(one.differing) for one in results)
    failed = [one for one in results if one.error]
    judged = [one for one in results if not one.error]
    said = (
        f"**{len(judged)} of {len(results)} commands and configurations were taken; of "
        f"{sum(one.matrices for one in judged):,} matrices in "
        f"{sum(one.modules for one in judged):,} modules, {differing} differ from the plan.**"
    )
    parts = [HEAD.format(version=version), said, cases(results)]
    if differing:
        parts.append(differences(judged))
    if failed:
        parts.append("\n".join(["## Refused", "", *(f"* {one.id}: {one.error}" for one in failed)]))
    parts += [kernels(judged), commands(judged)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def cases(results: Sequence[Judged]) -> str:
    """A row a case."""
    out = [
        "## Cases",
        "",
        "| model, device, question or mixture | method | matrices | modules | "
        "differ | flags read otherwise |",
        "|---|---|---:|---:|---:|---|",
    ]
    for one in results:
        out.append(
            f"| {one.id} | {one.method or 'refused'} | {one.matrices:,} | {one.modules:,} | "
            f"{len(one.differing) if not one.error else '–'} | "
            f"{'; '.join(one.flags) or 'none'} |"
        )
    return "\n".join(out)


def differences(results: Sequence[Judged]) -> str:
    """What differs, alike ones together."""
    out = [
        "## What differs",
        "",
        "| case | plan | engine | modules | for example |",
        "|---|---|---|---:|---|",
    ]
    for one in results:
        alike: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name, scheme, found in one.differing:
            alike[scheme, found].append(name)
        out += [
            f"| {one.id} | {scheme} | {found} | {len(names)} | `{names[0]}` |"
            for (scheme, found), names in alike.items()
        ]
    return "\n".join(out)


def kernels(results: Sequence[Judged]) -> str:
    """Which kernel each scheme got, by device."""
    table: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for one in results:
        device = one.id.split(", ")[1]
        for (scheme, kind), found in one.kernels.items():
            table[device, scheme, kind] += found
    out = [
        "## Kernels",
        "",
        "Weight-only kernels leave activations in 16 bits whatever the configuration asks.",
        "",
        "| device | scheme | modules | kernel | weight-only |",
        "|---|---|---|---|---|",
    ]
    for (device, scheme, kind), found in sorted(table.items()):
        for name, _ in found.most_common():
            only = "yes" if WEIGHT_ONLY.search(name) else ""
            out.append(f"| {device} | {scheme} | {kind} | {name} | {only} |")
    return "\n".join(out)


def commands(results: Sequence[Judged]) -> str:
    """The commands as they were parsed."""
    return "\n".join(
        ["## Commands", "", "```text", *dict.fromkeys(one.command for one in results), "```"]
    )
